package writer

import (
	"context"
	"encoding/json"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	controlv1 "tieout.dev/proto/control/v1"
	"tieout.dev/services/internal/document"
	"tieout.dev/services/internal/store"
)

// GetDocument shows the documents of a record: what stands in the books, field
// by field as they confirmed it, and how the link was found.
func (s *Server) GetDocument(ctx context.Context, r *controlv1.GetDocumentRequest) (*controlv1.GetDocumentResponse, error) {
	out := &controlv1.GetDocumentResponse{SourceUrl: s.page(r.GetRef()), Url: s.page(r.GetRef())}
	err := s.w.deps.DB.Read(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT source_ref, kind, part, n, other_ref, state, mapping_hash, base, number, explain FROM link
			WHERE source_ref = $1 OR other_ref = $1 ORDER BY kind, part, n`, r.GetRef())
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			d := &controlv1.DocumentPart{}
			var base string
			if err := rows.Scan(&d.SourceRef, &d.Kind, &d.Part, &d.N, &d.OtherRef, &d.State, &d.Mapping, &base, &d.Number, &d.Explain); err != nil {
				return err
			}
			if d.Fields, err = documentFields(base); err != nil {
				return err
			}
			d.BooksUrl = s.page(d.GetOtherRef())
			if document.Kind(d.GetKind()) != document.MarkerKind { // which leads back: its source is the document in the books
				out.SourceUrl = s.page(d.GetSourceRef())
			}
			out.Items = append(out.Items, d)
		}
		return rows.Err()
	})
	if err == nil && len(out.Items) == 0 && out.Url == "" {
		return nil, status.Errorf(codes.NotFound, "no document of %s is known, and no connection has a page for it", r.GetRef())
	}
	return out, err
}

func documentFields(base string) ([]*controlv1.DocumentField, error) {
	var fields map[string]string
	if err := json.Unmarshal([]byte(base), &fields); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]*controlv1.DocumentField, 0, len(names))
	for _, name := range names {
		out = append(out, &controlv1.DocumentField{Name: name, Value: fields[name]})
	}
	return out, nil
}
