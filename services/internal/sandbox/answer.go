package sandbox

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// answer sends what the turn decided, once its writes are on disk.
func (s *Sandbox) answer(w http.ResponseWriter, hr *http.Request, t *turn) {
	if t.failed == nil {
		t.failed = s.journal.sync(t.need)
		if errors.Is(t.failed, syscall.ENOSPC) {
			t.response = s.vendor.Refuse(t.request, http.StatusServiceUnavailable)
			addHeaders(&t.response, map[string]string{"X-Sandbox-Error": t.failed.Error()})
			send(w, t.response)
			return
		}
		if t.failed != nil {
			s.fail(t.failed)
		}
	}
	if t.failed != nil {
		cut(w, true) // nothing can be promised any more
		return
	}
	switch t.effect() {
	case EffectResetBefore, EffectResetAfter:
		s.finish(t)
		cut(w, true)
	case EffectHang:
		s.wait(hr, t)
		cut(w, true)
	case EffectDelay:
		s.wait(hr, t)
		s.finish(t)
		send(w, t.response)
	case EffectSlowBody:
		s.drip(w, hr, t)
	case EffectTruncate:
		s.finish(t)
		sendHalf(w, t.response)
	case EffectCorrupt:
		s.finish(t)
		send(w, corrupted(t.response))
	default:
		s.finish(t)
		send(w, t.response)
	}
}

// wait holds the request back for the fault's delay, the client's patience or
// the sandbox's end, whichever is first.
func (s *Sandbox) wait(hr *http.Request, t *turn) {
	select {
	case <-s.clock.After(time.Duration(t.fault.Delay)):
	case <-hr.Context().Done():
	case <-s.ctx.Done():
	}
}

func head(w http.ResponseWriter, r Response) {
	for k, v := range r.Header {
		w.Header()[http.CanonicalHeaderKey(k)] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(r.Body)))
	w.WriteHeader(r.Status)
}

func send(w http.ResponseWriter, r Response) {
	head(w, r)
	_, _ = w.Write(r.Body) // a client that left is its own business
}

// drip sends the body a byte per delay.
func (s *Sandbox) drip(w http.ResponseWriter, hr *http.Request, t *turn) {
	head(w, t.response)
	flush := http.NewResponseController(w)
	for i := range t.response.Body {
		s.wait(hr, t)
		if hr.Context().Err() != nil || s.ctx.Err() != nil {
			return
		}
		if _, err := w.Write(t.response.Body[i : i+1]); err != nil {
			return
		}
		_ = flush.Flush()
	}
	s.finish(t)
}

// corrupted breaks the middle of the body so that no JSON or XML reader takes it.
func corrupted(r Response) Response {
	half := len(r.Body) / 2
	body := append([]byte(nil), r.Body[:half]...)
	body = append(body, 0x00, 0xff, '}')
	r.Body = append(body, r.Body[half:]...)
	return r
}

// cut ends the connection without an answer; abrupt sends a reset.
func cut(w http.ResponseWriter, abrupt bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2 or a recorder: the server ends the stream
	}
	if tcp, ok := conn.(*net.TCPConn); ok && abrupt {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// sendHalf promises the whole body and ends the connection after half of it.
func sendHalf(w http.ResponseWriter, r Response) {
	conn, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer conn.Close()
	fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\n", r.Status, http.StatusText(r.Status))
	_ = r.Header.Write(buf)
	fmt.Fprintf(buf, "Content-Length: %d\r\n\r\n", len(r.Body))
	_, _ = buf.Write(r.Body[:len(r.Body)/2])
	_ = buf.Flush()
}
