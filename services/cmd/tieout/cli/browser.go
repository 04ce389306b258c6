package cli

import (
	"errors"
	"net/url"
	"os/exec"
	"runtime"
	"time"
)

// openWithin is how long an opener may take to fail; after that it runs.
const openWithin = 2 * time.Second

// browse opens a page in the person's browser. Nothing but a web address is
// handed to the desktop: what opens other schemes runs programs.
func browse(page string) error {
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("not a web address")
	}
	opener := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		opener = []string{"open"}
	case "windows":
		opener = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	path, err := exec.LookPath(opener[0])
	if err != nil {
		return errors.New("this machine has no " + opener[0])
	}
	cmd := exec.Command(path, append(opener[1:], u.String())...)
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // a browser of its own may outlive this command
	select {
	case err := <-ended:
		return err
	case <-time.After(openWithin):
		return nil
	}
}
