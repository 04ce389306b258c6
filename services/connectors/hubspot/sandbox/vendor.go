package sandbox

import (
	"net/http"
	"strconv"

	engine "tieout.dev/services/internal/sandbox"
)

// PortalID is the id of the first account unless Config names one.
const PortalID = 48213

const (
	presetEU     = "EU"
	homeCurrency = "EUR"
	timeZone     = "Europe/Dublin"
)

// currencies are those the portal has, its own first.
func currencies() []string { return []string{homeCurrency, "USD", "GBP", "JPY", "KWD"} }

// vendor is a HubSpot portal as the engine runs it.
type vendor struct {
	portal    int64
	shared    map[string]string // facts of the app, where another portal has made them
	catalogue *catalogue
	routes    []route
	hooks     hooks
	consent   string // what the person at the consent page does
}

func (v *vendor) id() string { return strconv.FormatInt(v.portal, 10) }

func newVendor(portal int64, shared map[string]string) (*vendor, error) {
	c, err := newCatalogue()
	if err != nil {
		return nil, err
	}
	v := &vendor{portal: portal, shared: shared, catalogue: c, hooks: hooks{form: formTyped}, consent: consentAgree}
	v.routes = v.table()
	return v, nil
}

// table is every path the portal answers. The object's own paths come after
// the fixed words that could be taken for an id.
func (v *vendor) table() []route {
	const objects, v4, links, props, pipes = "/crm/v3/objects/{object}", "/crm/v4/objects/{object}/{id}/associations", "/crm/v4/associations/{object}/{to}", "/crm/v3/properties/{object}", "/crm/v3/pipelines/{object}"
	return []route{
		at("GET", "/oauth/authorize", v.authorize),
		at("GET", "/oauth/{portal}/authorize", v.authorize),
		at("POST", tokenPath, v.token),
		at("GET", "/oauth/v1/access-tokens/{token}", v.tokenInfo),
		at("GET", "/oauth/v1/refresh-tokens/{token}", v.refreshInfo),
		at("DELETE", "/oauth/v1/refresh-tokens/{token}", v.dropRefresh),
		at("GET", "/account-info/v3/details", v.details),

		at("POST", objects+"/search", v.searchObjects),
		at("POST", objects+"/merge", v.mergeObjects),
		at("POST", objects+"/batch/read", v.batchRead),
		at("POST", objects+"/batch/create", v.batchCreate),
		at("POST", objects+"/batch/update", v.batchUpdate),
		at("POST", objects+"/batch/upsert", v.batchUpsert),
		at("POST", objects+"/batch/archive", v.batchArchive),
		at("GET", objects, v.listObjects),
		at("POST", objects, v.createObject),
		at("GET", objects+"/{id}", v.readObject),
		at("PATCH", objects+"/{id}", v.updateObject),
		at("DELETE", objects+"/{id}", v.archiveObject),

		at("PUT", v4+"/default/{to}/{toID}", v.putDefaultAssociation),
		at("GET", v4+"/{to}", v.listAssociations),
		at("PUT", v4+"/{to}/{toID}", v.putAssociation),
		at("DELETE", v4+"/{to}/{toID}", v.deleteAssociation),
		at("GET", links+"/labels", v.listLabels),
		at("POST", links+"/batch/read", v.batchReadAssociations),
		at("POST", links+"/batch/create", v.batchCreateAssociations),
		at("POST", links+"/batch/associate/default", v.batchDefaultAssociations),
		at("POST", links+"/batch/archive", v.batchArchiveAssociations),
		at("POST", links+"/batch/labels/archive", v.batchArchiveLabels),

		at("GET", props, v.listProperties),
		at("POST", props, v.createProperty),
		at("GET", props+"/groups", v.listGroups),
		at("GET", props+"/{name}", v.readProperty),

		at("GET", pipes, v.listPipelines),
		at("POST", pipes, v.createPipeline),
		at("GET", pipes+"/{pipeline}", v.readPipeline),
		at("PATCH", pipes+"/{pipeline}", v.changePipeline),
		at("GET", pipes+"/{pipeline}/stages", v.listStages),
		at("POST", pipes+"/{pipeline}/stages", v.createStage),
		at("PATCH", pipes+"/{pipeline}/stages/{stage}", v.changeStage),
	}
}

// Presets are the fresh portals there are.
func (v *vendor) Presets() []string { return []string{presetEU} }

// Seed gives a fresh portal what every new portal has.
func (v *vendor) Seed(tx *engine.Tx, _ string) error {
	if err := grant(tx, v.shared); err != nil {
		return err
	}
	seedPipeline(tx)
	tx.SetFact("sequence/object", "1000")
	return nil
}

// Serve answers one request.
func (v *vendor) Serve(tx *engine.Tx, r *engine.Request) engine.Response {
	if isOAuth(r) {
		return v.dispatch(tx, r)
	}
	if p := denied(tx, r); p != nil {
		return p.response(r)
	}
	return mark(r, v.dispatch(tx, r))
}

func (v *vendor) dispatch(tx *engine.Tx, r *engine.Request) engine.Response {
	path, known := segments(r.Path), false
	for _, rt := range v.routes {
		vars, ok := rt.match(path)
		if !ok {
			continue
		}
		if known = true; rt.method != r.Method {
			continue
		}
		c := &call{tx: tx, r: r, vars: vars, kind: v.catalogue.kind(vars["object"])}
		if _, named := vars["object"]; named && c.kind == nil {
			return invalid("Unable to infer object type from: %s", vars["object"]).response(r)
		}
		return rt.handler(c)
	}
	if known {
		return refusal(r, http.StatusMethodNotAllowed)
	}
	return notFound().response(r)
}

// Refuse is an error that the portal did not decide itself.
func (v *vendor) Refuse(r *engine.Request, status int) engine.Response { return refusal(r, status) }

func (v *vendor) details(*call) engine.Response {
	return engine.JSON(http.StatusOK, map[string]any{
		"portalId": v.portal, "accountType": "DEVELOPER_TEST", "timeZone": timeZone,
		"companyCurrency": homeCurrency, "additionalCurrencies": currencies()[1:],
		"utcOffset": "+00:00", "utcOffsetMilliseconds": 0,
		"uiDomain": "app-eu1.hubspot.com", "dataHostingLocation": "eu1",
	})
}
