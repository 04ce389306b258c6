// Package crash names the places at which a process may be made to die, so that
// what is promised about dying there can be tried on the real programs.
//
// A place is named in the code by At. Without the build tag crashpoints that is
// an empty function, which the compiler leaves out: nothing in a program that
// people run can be told to die. With the tag, the environment says where:
//
//	TIEOUT_CRASH_AT=writer/after-send:3       dies the third time it gets there
//	TIEOUT_CRASH_AT=writer/before-send:1:stop freezes there until it is continued
//	TIEOUT_CRASH_FILE=/run/crash/writer       reads the same from a file, whenever there is one
//
// The file is for a process that runs already: it is renamed to NAME.hit in the
// moment it is obeyed, so that the next process of the service lives on.
package crash

import (
	"fmt"
	"strconv"
	"strings"
)

// Names of what tells a process where to die.
const (
	EnvAt   = "TIEOUT_CRASH_AT"
	EnvFile = "TIEOUT_CRASH_FILE"
	// HitSuffix is what the file's name ends with once it was obeyed.
	HitSuffix = ".hit"
)

// Order says where a process dies, at which time it gets there, and whether it
// is only frozen.
type Order struct {
	Point Point
	Nth   int
	Stop  bool
}

// String is the order as ParseOrder reads it.
func (o Order) String() string {
	text := string(o.Point) + ":" + strconv.Itoa(o.Nth)
	if o.Stop {
		text += ":stop"
	}
	return text
}

// ParseOrder reads "point", "point:nth" or "point:nth:stop".
func ParseOrder(text string) (Order, error) {
	fields := strings.Split(strings.TrimSpace(text), ":")
	o := Order{Point: Point(fields[0]), Nth: 1}
	if !o.Point.Known() {
		return o, fmt.Errorf("there is no crash point %q: tieout-lab crashpoints lists them", fields[0])
	}
	if len(fields) > 1 {
		n, err := strconv.Atoi(fields[1])
		if err != nil || n < 1 {
			return o, fmt.Errorf("crash point %s: %q is not how often it is passed", o.Point, fields[1])
		}
		o.Nth = n
	}
	switch {
	case len(fields) == 3 && fields[2] == "stop":
		o.Stop = true
	case len(fields) > 2:
		return o, fmt.Errorf("crash point %s: after the number stands stop or nothing, not %q", o.Point, strings.Join(fields[2:], ":"))
	}
	return o, nil
}

// Known reports whether there is such a point.
func (p Point) Known() bool {
	for _, q := range Points() {
		if p == q {
			return true
		}
	}
	return false
}

// Services are those whose processes get to the point: the one that it is named
// after, or for a point of a shared package those that use it in that way.
func (p Point) Services() []string {
	owner, _, _ := strings.Cut(string(p), "/")
	switch owner {
	case "stream", "store":
		return []string{"ingest", "transform", "writer", "reconciler", "audit"}
	case "trail":
		if p == TrailFactsTaken {
			return []string{"ingest", "reconciler", "audit"}
		}
		if p == TrailNumbered || p == TrailAppended {
			return []string{"ingest", "transform", "writer"} // audit numbers its public stream itself; the reconciler seldom has something to say
		}
		return []string{"ingest", "transform", "writer", "audit"}
	}
	return []string{owner}
}
