package config

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md, made from the keys themselves.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

Made from the keys in the program by ` + "`make generate`" + `. Each service reads ` + "`--config FILE`" + ` (YAML; ` + "`kafka.brokers`" + ` is ` + "`brokers`" + ` under ` + "`kafka`" + `), then the
environment, which wins. One file may serve all five: each reads what concerns it. Secrets stand in files of their own, whose
names end in ` + "`_file`" + `; a relative name is meant from the configuration's folder. ` + "`tieout config check FILE`" + ` finds every mistake at
once; a service that finds one prints all of them and ends with exit code 2.

| key | variable | means | expected | default | read by |
| --- | --- | --- | --- | --- | --- |
`)
	for _, k := range keys() {
		preset, by := "none", "all"
		if k.required {
			preset = "none: it must be given"
		}
		if k.preset != "" {
			preset = "`" + k.preset + "`"
			if strings.Contains(k.preset, " ") {
				preset = k.preset
			}
		}
		if len(k.services) > 0 {
			by = strings.Join(k.services, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", k.name, Env(k.name), k.doc, k.expected, preset, by)
	}
	return b.String() + examples()
}

// examples follow the keys: what several of them say together, and the file beside.
func examples() string {
	return `
Exactly one of ` + "`postgres.url`" + ` and ` + "`sqlite.dir`" + ` is given. A PostgreSQL database is encoded in UTF8, version 15 or newer; each service
makes its schema and brings it up to date when it starts, one process after the other. It runs on a schema that is one migration
ahead, so that replicas of two versions run side by side and an update can be taken back, and refuses one beyond: it ends with exit
code 1 and says which program to run.

## Secured parts

` + "```yaml" + `
kafka:
  brokers: ["kafka-1:9093", "kafka-2:9093", "kafka-3:9093"]
  tls: {enabled: true, ca_file: ca.pem}                 # cert_file and key_file besides where brokers know clients by certificate
  sasl: {user: tieout, password_file: kafka.password}   # SCRAM-SHA-512, over TLS only
postgres:
  url: postgres://tieout@db:5432/tieout
  password_file: db.password
  tls: {enabled: true, ca_file: ca.pem, cert_file: tieout.pem, key_file: tieout.key}
redis:
  address: cache:6380
  user: tieout
  password_file: cache.password
  tls: {enabled: true, ca_file: ca.pem}
` + "```" + `

A part that is reached and refuses, or is refused, is named with the reason and with who acts in ` + "`/readyz`" + ` (under ` + "`waiting`" + `, or under
` + "`degraded`" + ` while work goes on) and in the log: a certificate that ended or comes from another authority, a wrong password, TLS on one
side only, a topic with another number of partitions or another retention (` + "`tieout topics apply --plan`" + ` shows what differs), a
database that takes no writes. The service stays up and goes on by itself once that is mended; certificates and passwords that are
renewed in their files need no restart.

## Installation

` + "```yaml" + `
entities:
  - id: acme-ie
    tenant: acme
    currency: EUR          # functional, ISO 4217
    zone: Europe/Dublin    # IANA; document dates are dates there
    country: IE            # assumed for a customer without one
    net_days: 30           # default payment terms
    currencies: [USD, GBP] # those that customers are invoiced in besides
    bindings: {"account:sales": Sales, "tax:standard": "23.0% S"}   # a mapping's symbol -> its name in the books
connections:
  - id: crm
    tenant: acme
    system: hubspot
    account: hubspot/48213 # system/ and the vendor's own id
    app: hubspot           # webhooks come to /webhooks/APP
    public_url: https://tieout.example.com/webhooks/hubspot   # what the vendor signs
    poll_every: 1m
    secret_files: {access_token: hubspot.token, app_secret: hubspot.secret}
  - id: books
    tenant: acme
    system: quickbooks
    account: quickbooks/4620816365
    secret_files: {access_token: qbo.token, refresh_token: qbo.refresh, client_id: qbo.id, client_secret: qbo.secret}
routes:
  - {id: deals-to-invoices, connection: crm, type: deal, target: quickbooks/4620816365, entity: acme-ie, mapping: hubspot-deal-quickbooks-invoice}
  - {id: companies-to-customers, connection: crm, type: company, target: quickbooks/4620816365, entity: acme-ie, mapping: hubspot-company-quickbooks-customer, update_only: true}
  - {id: contacts-to-customers, connection: crm, type: contact, target: quickbooks/4620816365, entity: acme-ie, mapping: hubspot-contact-quickbooks-customer, update_only: true}
  - {id: products-to-items, connection: crm, type: product, target: quickbooks/4620816365, entity: acme-ie, mapping: hubspot-product-quickbooks-item, update_only: true}
  - {id: invoices-to-deals, connection: books, type: INVOICE, target: hubspot/48213, entity: acme-ie, mapping: quickbooks-invoice-hubspot-marker, write_back: true}
` + "```" + `

A connection may also name ` + "`base_url`" + ` (default: the vendor's) and ` + "`settings`" + ` of its connector; a route may name ` + "`cut_off`" + ` (a time),
` + "`update_only`" + `, and ` + "`unmatched`" + ` (` + "`create`" + ` or ` + "`park`" + `).
`
}
