//go:build crashpoints

package crash

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Compiled tells whether this program can be made to die.
const Compiled = true

// passed counts how often each order was met. It is the one variable of its
// kind: a point has no place of its own to count in, and handing one to every
// place would change what is tried.
var passed struct {
	sync.Mutex
	by map[string]int
}

// At dies or freezes here, if this is where the process was told to.
func At(p Point) {
	if text := os.Getenv(EnvAt); text != "" {
		if o := read(text); o.Point == p && due("env "+text, o) {
			obey(o)
		}
	}
	file := os.Getenv(EnvFile)
	if file == "" {
		return
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return // no order now
	}
	o := read(string(text))
	if o.Point == p && due(string(text), o) && os.Rename(file, file+HitSuffix) == nil {
		obey(o)
	}
}

// read ends the program if it was told something that it does not understand:
// going on would try nothing and say that all is well.
func read(text string) Order {
	o, err := ParseOrder(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return o
}

func due(key string, o Order) bool {
	passed.Lock()
	defer passed.Unlock()
	if passed.by == nil {
		passed.by = map[string]int{}
	}
	passed.by[key]++
	return passed.by[key] == o.Nth
}

// obey leaves nothing a chance to be written down: no deferred call, no flush.
func obey(o Order) {
	fmt.Fprintf(os.Stderr, "crash point %s\n", o)
	if o.Stop {
		freeze()
		return
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the signal is there
}

// freeze returns once the process is continued, not when the signal is sent: a
// thread that sends it may run on for a while before all of them stand still.
func freeze() {
	thawed := make(chan os.Signal, 1)
	signal.Notify(thawed, syscall.SIGCONT)
	defer signal.Stop(thawed)
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-thawed
}
