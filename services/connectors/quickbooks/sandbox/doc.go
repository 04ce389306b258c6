// Package sandbox is a QuickBooks Online company that runs on this machine: the
// vendor's wire format on its ordinary paths, double entry left to the real
// thing but every rule a client meets kept.
//
//	s, err := sandbox.New(sandbox.Config{Dir: dir, Preset: "IE"})
//	srv := &http.Server{Handler: s} // base URL of /v3/company/…, OAuth and /_sandbox/
//	c := s.Credentials()
//
// Served: customer, vendor, employee, item, invoice, credit memo, payment, account, term
// (create, sparse and full update, void, delete where the vendor has it);
// taxcode, taxrate, companyinfo, preferences (read); exchangerate; query,
// batch, cdc; OAuth under /connect/oauth2, /oauth2/v1/tokens/bearer and
// /v2/oauth2/tokens/revoke, the consent page answering at once; webhooks as
// CloudEvents or in the older form. Several companies share an address: the
// path says which, and realmId picks one at the consent page.
//
// Settings of its own under POST /_sandbox/settings: closing_date,
// multicurrency, void_paid ("refuse" or "unapply"), batch_max,
// custom_txn_numbers, warn_duplicate_numbers, refresh_grace, subscription (what
// has ended can only be read, 6190), user ("removed" may nothing, 120), consent
// ("agree" or "deny"), webhook_form ("cloudevents" or "legacy"). Limits, for
// each app: per_second 10, per_minute 500, batches_per_minute 40; for the
// company: batches_per_minute_of_company 120.
//
// The company has automated sales tax off, rounds tax half up on each line,
// and answers JSON only.
package sandbox
