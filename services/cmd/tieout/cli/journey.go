package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	controlv1 "tieout.dev/proto/control/v1"
)

type journeyView struct {
	Subject       string         `json:"subject"`
	Customer      string         `json:"customer"`
	InvoiceNumber string         `json:"invoice_number"`
	Documents     []documentView `json:"documents"`
	Steps         []stepView     `json:"steps"`
}

type documentView struct {
	Ref    string  `json:"ref"`
	Number string  `json:"number"`
	State  string  `json:"state"`
	Net    *amount `json:"net"`
	Tax    *amount `json:"tax"`
	Gross  *amount `json:"gross"`
}

type stepView struct {
	At      string `json:"at"`
	Service string `json:"service"`
	What    string `json:"what"`
	Ref     string `json:"ref"`
	OpID    string `json:"op_id"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail"`
	TraceID string `json:"trace_id"`
}

func (a *app) journey() *cobra.Command {
	return &cobra.Command{
		Use: "journey ID", Short: "Follow a record through every hop, from the CRM's change to the audit entry", Args: cobra.ExactArgs(1),
		Long:    "Follow a record through every hop. ID is a source ref, a customer, an invoice number, an op, an event, an exception or a trace.",
		Example: "  tieout journey 1001\n  tieout journey deal/123 -o json",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.clients()
			if err != nil {
				return err
			}
			j, err := c.audit.Journey(cmd.Context(), &controlv1.JourneyRequest{Id: args[0]})
			if err != nil {
				return err
			}
			v := toJourney(j)
			return a.print(v, v.table)
		},
	}
}

func toJourney(j *controlv1.JourneyResponse) *journeyView {
	v := &journeyView{Subject: j.GetSubject(), Customer: j.GetCustomer(), InvoiceNumber: j.GetInvoiceNumber(), Documents: []documentView{}, Steps: []stepView{}}
	for _, d := range j.GetDocuments() {
		v.Documents = append(v.Documents, documentView{d.GetRef(), d.GetNumber(), d.GetState(), toAmount(d.GetNet()), toAmount(d.GetTax()), toAmount(d.GetGross())})
	}
	for _, s := range j.GetSteps() {
		v.Steps = append(v.Steps, stepView{instant(s.GetAt()), s.GetService(), s.GetWhat(), s.GetRef(), s.GetOpId(), s.GetOutcome(), s.GetDetail(), s.GetTraceId()})
	}
	return v
}

func (v *journeyView) table(w io.Writer) {
	fmt.Fprintf(w, "subject\t%s\ncustomer\t%s\ninvoice\t%s\n\n", v.Subject, v.Customer, v.InvoiceNumber)
	fmt.Fprintln(w, "DOCUMENT\tNUMBER\tSTATE\tNET\tTAX\tGROSS")
	for _, d := range v.Documents {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.Ref, d.Number, d.State, d.Net, d.Tax, d.Gross)
	}
	fmt.Fprintln(w, "\nAT (UTC)\tSERVICE\tWHAT\tOUTCOME\tRECORD\tDETAIL")
	for _, s := range v.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", clock(s.At), s.Service, s.What, s.Outcome, s.Ref, s.Detail)
	}
	if n := len(v.Steps); n > 0 {
		fmt.Fprintf(w, "\ntrace\t%s\n", v.Steps[0].TraceID)
	}
}
