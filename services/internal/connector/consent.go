package connector

import "context"

// Consent is the vendor's authorization code grant (RFC 6749, 4.1).
type Consent struct {
	// URL is the page where a person agrees. The vendor sends them back to
	// redirect with a code and with state, which proves that we sent them.
	URL func(redirect, state string) string
	// Trade turns what came back into a grant. A consent for another account than
	// the connection's is a fault of kind Rejected with the field FieldAccount,
	// and what was granted is given back; a code that is not good (any more) is
	// Rejected too. It sends the code once.
	Trade func(ctx context.Context, a ConsentAnswer) (Granted, error)
}

// FieldAccount in a fault says that the consent is for another account.
const FieldAccount = "account"

// ConsentAnswer is what the vendor sent a person back with.
type ConsentAnswer struct {
	Code     Secret
	Redirect string            // exactly as it was asked for
	Params   map[string]string // everything else in the address
}

// Granted is a consent that was given.
type Granted struct {
	Grant   Grant
	Account string   // system/account, as the vendor says
	Scopes  []string // as the vendor says, none if it does not
}

// Check is one thing that was tried.
type Check struct {
	Name   string // a few words: token, account, deals
	OK     bool
	Detail string // what was found
	Next   string // what to do where it is not OK
}
