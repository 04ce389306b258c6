// Package sandbox is the engine every vendor sandbox runs on: a durable world
// of versioned objects, faults decided around each request, a log of what
// arrived, limits, webhooks, and the control calls under /_sandbox/.
//
// A vendor is a function of (world, request) to (response, writes). The engine
// runs it under one mutex, so a request is done or not done and never half:
//
//	type vendor struct{}
//
//	func (vendor) Seed(tx *sandbox.Tx, preset string) error { ... }    // a fresh account
//	func (vendor) Identify(tx *sandbox.Tx, r *sandbox.Request) { ... } // sets r.App and r.Key
//	func (vendor) Serve(tx *sandbox.Tx, r *sandbox.Request) sandbox.Response {
//		id := tx.NextID("deal")
//		tx.Put("deal", id, map[string]any{"name": "x"})
//		return sandbox.JSON(201, map[string]any{"id": id})
//	}
//	func (vendor) Refuse(r *sandbox.Request, status int) sandbox.Response { ... }
//
//	s, err := sandbox.New(sandbox.Config{Dir: dir, Name: "hubspot", Preset: "EU"}, vendor{})
//	defer s.Close()
//	srv := &http.Server{Handler: s}
//
// The rest of a vendor is optional, each an interface the engine looks for:
// Limiter (quotas and the answer to exceeding them), Spoiler (effects only the
// vendor knows: partial_batch, expire_token, ...), Configurer (settings of its
// own), Presetter (which fresh worlds there are), Notifier and Renotifier
// (webhooks and their repeats), Opener (what it reads of an open world).
//
// # Accounts
//
// Accounts puts several accounts of a vendor behind one address: a request goes
// to the one that claims it (Claimant), and a control call to the one that
// ?account=ID names, else to the first. POST /_sandbox/accounts {"id","preset"}
// opens one more and says how to be let in (Crediter); GET lists them. One app
// stands before all of them (Sharer); each has a world, limits, faults,
// settings and a file of its own.
//
// # Writes
//
// Tx stages objects, facts (small durable strings: counters, unique indexes,
// tokens) and remembered answers (idempotency keys). An answer below 400
// commits them as one appended JSON line that is on disk before the answer
// leaves; an answer of 400 and above drops them. Child and Merge give a batch
// its independent items. Maps handed out by the world are shared and read
// only: Clone before changing one.
//
// Facts whose key begins with "grant/" survive reset and restore, so a client
// that was let in stays let in. Settings and faults survive them too; a
// snapshot has the idempotency keys of its world.
//
// All that was acknowledged, faults and how far they have counted included, is
// there again after a restart. A late commit and a webhook that were still to
// come are not: the vendor had promised neither.
//
// # Apps
//
// Identify names the app of a request: AppMain for the connection under test,
// AppReader for a person's own scripts. A fault that names no app never
// touches AppReader, and each app has its own quota.
//
// # Effects
//
// What each effect does to a matching request:
//
//	status          nothing happens, answers status (500) in the vendor's shape
//	reset_before    nothing happens, the connection is reset
//	reset_after     done, the connection is reset
//	late_commit     answers status (503) now, does it after delay (1s)
//	hang            nothing happens and no answer until the client leaves, or delay
//	delay           done, answered after delay (1s)
//	slow_body       done, answered a byte per delay (100ms)
//	truncate        done, half the body, then the connection ends
//	corrupt         done, bytes in the middle of the body are broken
//	throttle        nothing happens, the vendor's own "too many requests"
//	search_lag      done, searches do not see writes younger than delay (10s)
//	fault_in_200, partial_batch, forget_keys, expire_token, revoke_consent
//	                as the vendor says (Spoiler); forget_keys works everywhere
package sandbox
