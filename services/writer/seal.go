package writer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
)

// sealedV1 marks what was sealed; anything else was stored before there was a
// key, and is sealed when it is next written.
const sealedV1 = "sealed/v1:"

// keySize is AES-256's.
const keySize = 32

// Seal keeps credentials unreadable at rest. The first key seals; the others
// still open what they sealed, so that a key can be replaced in peace.
type Seal struct {
	path string
	keys []sealKey
}

type sealKey struct {
	id   string
	aead cipher.AEAD
}

// OpenSeal reads the keys from a file: one a line, 32 bytes as base64, the
// newest first. Others must not be able to read it.
func OpenSeal(path string) (*Seal, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key file %s can be read by others (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	s := &Seal{path: path}
	for n, line := range strings.Fields(string(b)) {
		k, err := newSealKey(line)
		if err != nil {
			return nil, fmt.Errorf("key file %s, key %d: %w", path, n+1, err)
		}
		s.keys = append(s.keys, k)
	}
	if len(s.keys) == 0 {
		return nil, fmt.Errorf("key file %s holds no key: write 32 random bytes as base64", path)
	}
	return s, nil
}

// MakeSeal makes a key file unless there is one, and opens it.
func MakeSeal(path string) (*Seal, error) {
	key := make([]byte, keySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, werr := fmt.Fprintln(f, base64.StdEncoding.EncodeToString(key))
		err = errors.Join(werr, f.Sync(), f.Close())
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return OpenSeal(path)
}

func newSealKey(text string) (sealKey, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != keySize {
		return sealKey{}, errors.New("it is not 32 bytes as base64")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealKey{}, err
	}
	aead, err := cipher.NewGCM(block)
	sum := sha256.Sum256(append([]byte("key-id/v1|"), key...))
	return sealKey{hex.EncodeToString(sum[:4]), aead}, err
}

// seal hides a secret; about names what it belongs to, so that a sealed value
// moved to another row does not open.
func (s *Seal) seal(secret, about string) (string, error) {
	if secret == "" {
		return "", nil
	}
	k := s.keys[0]
	nonce := make([]byte, k.aead.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return "", err
	}
	return sealedV1 + k.id + ":" + base64.StdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, []byte(secret), []byte(about))), nil
}

// open returns the secret.
func (s *Seal) open(stored, about string) (string, error) {
	rest, sealed := strings.CutPrefix(stored, sealedV1)
	if !sealed {
		return stored, nil
	}
	id, text, _ := strings.Cut(rest, ":")
	for _, k := range s.keys {
		if k.id != id {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) < k.aead.NonceSize() {
			return "", fmt.Errorf("the credential of %s is damaged: authorize the connection again", about)
		}
		n := k.aead.NonceSize()
		plain, err := k.aead.Open(nil, b[:n], b[n:], []byte(about))
		if err != nil {
			return "", fmt.Errorf("the credential of %s was tampered with: authorize the connection again", about)
		}
		return string(plain), nil
	}
	return "", fmt.Errorf("the credential of %s was sealed with key %s, which %s does not hold: add that key below the first, or authorize the connection again", about, id, s.path)
}
