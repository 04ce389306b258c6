package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

const defaultPipeline = "default"

// pipeline is one way deals go, stage by stage.
type pipeline struct {
	ID           string  `json:"id"`
	Label        string  `json:"label"`
	DisplayOrder int     `json:"displayOrder"`
	Stages       []stage `json:"stages"`
	Archived     bool    `json:"archived"`
	CreatedAt    string  `json:"createdAt"`
	UpdatedAt    string  `json:"updatedAt"`
}

// stage is one step; its metadata says what it means.
type stage struct {
	ID           string            `json:"id"`
	Label        string            `json:"label"`
	DisplayOrder int               `json:"displayOrder"`
	Metadata     map[string]string `json:"metadata"`
	Permissions  string            `json:"writePermissions"`
	Archived     bool              `json:"archived"`
	CreatedAt    string            `json:"createdAt"`
	UpdatedAt    string            `json:"updatedAt"`
}

// closed is true at probability 0 and 1, as HubSpot has it.
func (s stage) closed() bool { return s.Metadata["isClosed"] == "true" }

func (s stage) won() bool {
	return s.closed() && decimal(s.Metadata["probability"]).IsInt() && decimal(s.Metadata["probability"]).Sign() > 0
}

func (p *pipeline) stage(id string) (stage, bool) {
	for _, s := range p.Stages {
		if s.ID == id {
			return s, true
		}
	}
	return stage{}, false
}

func (p *pipeline) stageIDs() []string {
	var ids []string
	for _, s := range p.Stages {
		ids = append(ids, s.ID)
	}
	return ids
}

func pipelineOf(tx *engine.Tx, id string) *pipeline {
	o := tx.Get("pipeline", id)
	if o == nil || o.Deleted {
		return nil
	}
	var p pipeline
	recode(tx.Data(o), &p)
	return &p
}

func pipelines(tx *engine.Tx) []*pipeline {
	var all []*pipeline
	tx.Each("pipeline", func(o *engine.Object) bool {
		if p := pipelineOf(tx, o.ID); p != nil {
			all = append(all, p)
		}
		return true
	})
	return all
}

func pipelineIDs(tx *engine.Tx) []string {
	var ids []string
	for _, p := range pipelines(tx) {
		ids = append(ids, p.ID)
	}
	return ids
}

func (p *pipeline) save(tx *engine.Tx) {
	p.UpdatedAt = stamp(tx.Now())
	if p.CreatedAt == "" {
		p.CreatedAt = p.UpdatedAt
	}
	for i := range p.Stages {
		p.Stages[i].date(p.UpdatedAt)
	}
	var data map[string]any
	recode(p, &data)
	tx.Put("pipeline", p.ID, data)
}

func (s *stage) date(now string) {
	s.Permissions = "CRM_PERMISSIONS_ENFORCEMENT"
	if s.CreatedAt == "" {
		s.CreatedAt, s.UpdatedAt = now, now
	}
}

// seedPipeline gives a new portal the sales pipeline every new portal has.
func seedPipeline(tx *engine.Tx) {
	p := &pipeline{ID: defaultPipeline, Label: "Sales Pipeline"}
	for i, s := range [][3]string{
		{"appointmentscheduled", "Appointment Scheduled", "0.2"},
		{"qualifiedtobuy", "Qualified To Buy", "0.4"},
		{"presentationscheduled", "Presentation Scheduled", "0.6"},
		{"decisionmakerboughtin", "Decision Maker Bought-In", "0.8"},
		{"contractsent", "Contract Sent", "0.9"},
		{"closedwon", "Closed Won", "1.0"},
		{"closedlost", "Closed Lost", "0.0"},
	} {
		p.Stages = append(p.Stages, stage{ID: s[0], Label: s[1], DisplayOrder: i, Metadata: metadata(s[2])})
	}
	p.save(tx)
}

func metadata(probability string) map[string]string {
	closed := decimal(probability).IsInt()
	return map[string]string{"probability": probability, "isClosed": strconv.FormatBool(closed)}
}

func (v *vendor) listPipelines(c *call) engine.Response {
	if c.kind.name != "deal" {
		return engine.JSON(http.StatusOK, map[string]any{"results": []any{}})
	}
	return engine.JSON(http.StatusOK, map[string]any{"results": pipelines(c.tx)})
}

func (v *vendor) readPipeline(c *call) engine.Response {
	p := pipelineOf(c.tx, c.vars["pipeline"])
	if p == nil {
		return notFound().response(c.r)
	}
	return engine.JSON(http.StatusOK, p)
}

func (v *vendor) listStages(c *call) engine.Response {
	p := pipelineOf(c.tx, c.vars["pipeline"])
	if p == nil {
		return notFound().response(c.r)
	}
	return engine.JSON(http.StatusOK, map[string]any{"results": p.Stages})
}

// stageInput is the body of a new or changed stage; nil leaves alone.
type stageInput struct {
	Label        *string           `json:"label"`
	DisplayOrder *int              `json:"displayOrder"`
	Metadata     map[string]string `json:"metadata"`
}

func (s *stage) change(in stageInput) *problem {
	if in.Label != nil {
		s.Label = *in.Label
	}
	if in.DisplayOrder != nil {
		s.DisplayOrder = *in.DisplayOrder
	}
	if in.Metadata != nil {
		probability := in.Metadata["probability"]
		r := decimal(probability)
		if !numeral.MatchString(probability) || r.Sign() < 0 || r.Cmp(decimal("1")) > 0 {
			return invalid("Deal stage metadata must have a probability between 0.0 and 1.0")
		}
		s.Metadata = metadata(probability)
	}
	return nil
}

func newStage(tx *engine.Tx, in stageInput) (stage, *problem) {
	s := stage{ID: tx.NextID("object")}
	if in.Label == nil || *in.Label == "" || in.Metadata == nil {
		return s, invalid("Invalid input JSON: a stage needs a label and metadata")
	}
	return s, s.change(in)
}

func (v *vendor) createPipeline(c *call) engine.Response {
	var in struct {
		Label        string       `json:"label"`
		DisplayOrder int          `json:"displayOrder"`
		Stages       []stageInput `json:"stages"`
	}
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	if c.kind.name != "deal" || in.Label == "" || len(in.Stages) == 0 {
		return invalid("Invalid input JSON: a deal pipeline needs a label and stages").response(c.r)
	}
	made := &pipeline{ID: c.tx.NextID("object"), Label: in.Label, DisplayOrder: in.DisplayOrder}
	for _, si := range in.Stages {
		s, p := newStage(c.tx, si)
		if p != nil {
			return p.response(c.r)
		}
		made.Stages = append(made.Stages, s)
	}
	made.save(c.tx)
	return engine.JSON(http.StatusCreated, made)
}

func (v *vendor) changePipeline(c *call) engine.Response {
	found := pipelineOf(c.tx, c.vars["pipeline"])
	if found == nil {
		return notFound().response(c.r)
	}
	var in stageInput
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	if in.Label != nil {
		found.Label = *in.Label
	}
	found.save(c.tx)
	return engine.JSON(http.StatusOK, found)
}

func (v *vendor) createStage(c *call) engine.Response {
	found := pipelineOf(c.tx, c.vars["pipeline"])
	if found == nil {
		return notFound().response(c.r)
	}
	var in stageInput
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	s, p := newStage(c.tx, in)
	if p != nil {
		return p.response(c.r)
	}
	found.Stages = append(found.Stages, s)
	found.save(c.tx)
	return engine.JSON(http.StatusCreated, found.Stages[len(found.Stages)-1])
}

func (v *vendor) changeStage(c *call) engine.Response {
	found := pipelineOf(c.tx, c.vars["pipeline"])
	if found == nil {
		return notFound().response(c.r)
	}
	var in stageInput
	if p := c.body(&in); p != nil {
		return p.response(c.r)
	}
	for i := range found.Stages {
		if s := &found.Stages[i]; s.ID == c.vars["stage"] {
			if p := s.change(in); p != nil {
				return p.response(c.r)
			}
			s.UpdatedAt = stamp(c.tx.Now())
			found.save(c.tx)
			return engine.JSON(http.StatusOK, s)
		}
	}
	return notFound().response(c.r)
}

// recode moves a value through JSON into another shape; both are ours, so it
// cannot fail on anything but a mistake in this package.
func recode(from, to any) {
	b, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		panic(err)
	}
}
