// Drives a HubSpot account with HubSpot's own client and checks what comes back.
// Environment: HUBSPOT_BASE_URL, HUBSPOT_TOKEN, HUBSPOT_APP_SECRET, HUBSPOT_CLIENT_ID, HUBSPOT_REFRESH_TOKEN.
// One line a check, the last line is the count; exit 1 if a check failed.
'use strict';
const assert = require('assert');
const http = require('http');
const { Client, Signature } = require('@hubspot/api-client');

const env = process.env;
const base = env.HUBSPOT_BASE_URL;
const hubspot = new Client({ accessToken: env.HUBSPOT_TOKEN, basePath: base, numberOfApiCallRetries: 3 });
const stamp = Date.now().toString(36);
const kept = {};
let passed = 0;
let failed = 0;

async function check(name, f) {
  try {
    await f();
    passed++;
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}: ${e && e.message ? e.message : JSON.stringify(e)}`);
  }
}

// refused runs f and returns the vendor's error body, after checking the status and the shape all errors share.
async function refused(status, category, f) {
  let got;
  try {
    await f();
  } catch (e) {
    got = e;
  }
  assert(got, `expected ${status}, got an answer`);
  assert.strictEqual(got.code, status, `${got.code} ${JSON.stringify(got.body)}`);
  assert.strictEqual(got.body.status, 'error');
  assert.strictEqual(got.body.category, category);
  assert.strictEqual(typeof got.body.message, 'string');
  assert.match(got.body.correlationId, /^[0-9a-f-]{36}$/);
  return got.body;
}

async function until(what, f) {
  const end = Date.now() + 15000;
  for (;;) {
    const r = await f();
    if (r) return r;
    if (Date.now() > end) throw new Error(`no ${what} within 15 s`);
    await new Promise((r) => setTimeout(r, 250));
  }
}

const to = (id, ...typeIds) => ({ to: { id }, types: typeIds.map((t) => ({ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: t })) });
const typeIds = (row) => row.associationTypes.map((t) => t.typeId).sort((a, b) => a - b);

async function account() {
  await check('account-info details', async () => {
    const r = await (await hubspot.apiRequest({ method: 'GET', path: '/account-info/v3/details' })).json();
    assert.strictEqual(r.portalId, 48213);
    assert.strictEqual(r.companyCurrency, 'EUR');
    assert(r.additionalCurrencies.includes('JPY') && r.additionalCurrencies.includes('KWD'));
  });
  await check('oauth refresh gives a token that works', async () => {
    const t = await hubspot.oauth.tokensApi.create('refresh_token', undefined, undefined, env.HUBSPOT_CLIENT_ID, env.HUBSPOT_APP_SECRET, env.HUBSPOT_REFRESH_TOKEN);
    assert.strictEqual(t.tokenType, 'bearer');
    assert.strictEqual(t.expiresIn, 1800);
    const c = new Client({ accessToken: t.accessToken, basePath: base, numberOfApiCallRetries: 3 });
    await c.crm.deals.basicApi.getPage(1);
  });
  await check('401 for an unknown token', () => {
    const c = new Client({ accessToken: 'pat-eu1-unknown', basePath: base, numberOfApiCallRetries: 3 });
    return refused(401, 'INVALID_AUTHENTICATION', () => c.crm.deals.basicApi.getPage(1));
  });
}

async function pipelines() {
  await check('deal pipelines and stages', async () => {
    const r = await hubspot.crm.pipelines.pipelinesApi.getAll('deals');
    const p = r.results.find((p) => p.id === 'default');
    const ids = p.stages.map((s) => s.id);
    assert.deepStrictEqual(ids, ['appointmentscheduled', 'qualifiedtobuy', 'presentationscheduled', 'decisionmakerboughtin', 'contractsent', 'closedwon', 'closedlost']);
    const won = p.stages.find((s) => s.id === 'closedwon');
    assert.strictEqual(won.metadata.isClosed, 'true');
    assert.strictEqual(Number(won.metadata.probability), 1);
    assert(won.createdAt instanceof Date);
  });
  await check('one pipeline and its stages', async () => {
    const p = await hubspot.crm.pipelines.pipelinesApi.getById('deals', 'default');
    const s = await hubspot.crm.pipelines.pipelineStagesApi.getAll('deals', 'default');
    assert.strictEqual(p.stages.length, s.results.length);
  });
  await check('create a pipeline of my own', async () => {
    const p = await hubspot.crm.pipelines.pipelinesApi.create('deals', { label: `Partners ${stamp}`, displayOrder: 1, stages: [
      { label: 'Open', displayOrder: 0, metadata: { probability: '0.5' } },
      { label: 'Signed', displayOrder: 1, metadata: { probability: '1.0' } },
    ] });
    kept.pipeline = p.id;
    kept.signed = p.stages.find((s) => s.label === 'Signed').id;
  });
}

async function properties() {
  await check('properties of deals', async () => {
    const r = await hubspot.crm.properties.coreApi.getAll('deals');
    const amount = r.results.find((p) => p.name === 'amount');
    assert.strictEqual(amount.type, 'number');
    assert(amount.hubspotDefined);
  });
  await check('create and read a property', async () => {
    const name = `oracle_${stamp}`;
    const made = await hubspot.crm.properties.coreApi.create('deals', { name, label: 'Oracle', groupName: 'dealinformation', type: 'string', fieldType: 'text', hasUniqueValue: true });
    assert.strictEqual(made.name, name);
    const read = await hubspot.crm.properties.coreApi.getByName('deals', name);
    assert.strictEqual(read.hasUniqueValue, true);
    kept.unique = name;
    await refused(409, 'OBJECT_ALREADY_EXISTS', () => hubspot.crm.properties.coreApi.create('deals', { name, label: 'Oracle', groupName: 'dealinformation', type: 'string', fieldType: 'text' }));
  });
  await check('404 for an unknown property', () => refused(404, 'OBJECT_NOT_FOUND', () => hubspot.crm.properties.coreApi.getByName('deals', 'no_such_property')));
}

async function objects() {
  await check('create a company', async () => {
    const r = await hubspot.crm.companies.basicApi.create({ properties: { name: `Acme ${stamp}`, domain: `${stamp}.example`, country: 'Ireland' }, associations: [] });
    assert.match(r.id, /^\d+$/);
    assert.strictEqual(r.properties.name, `Acme ${stamp}`);
    assert.strictEqual(r.archived, false);
    assert(r.createdAt instanceof Date && r.updatedAt instanceof Date);
    kept.company = r.id;
  });
  await check('create a contact', async () => {
    const r = await hubspot.crm.contacts.basicApi.create({ properties: { email: `ann@${stamp}.example`, firstname: 'Ann', lastname: 'Byrne' }, associations: [to(kept.company, 1)] });
    kept.contact = r.id;
  });
  await check('409 for a second contact with the same e-mail', async () => {
    const b = await refused(409, 'CONFLICT', () => hubspot.crm.contacts.basicApi.create({ properties: { email: `ANN@${stamp}.example` }, associations: [] }));
    assert.strictEqual(b.message, `Contact already exists. Existing ID: ${kept.contact}`);
  });
  await check('create a product', async () => {
    const r = await hubspot.crm.products.basicApi.create({ properties: { name: 'Support', price: '120', hs_sku: `SUP-${stamp}` }, associations: [] });
    kept.product = r.id;
  });
  await check('create line items', async () => {
    const a = await hubspot.crm.lineItems.basicApi.create({ properties: { name: 'Support', hs_product_id: kept.product, quantity: '3', price: '33.33', hs_line_item_currency_code: 'EUR' }, associations: [] });
    assert.strictEqual(a.properties.amount, '99.99');
    const b = await hubspot.crm.lineItems.basicApi.create({ properties: { name: 'Setup', quantity: '2', price: '10.00', discount: '0.50' }, associations: [] });
    assert.strictEqual(Number(b.properties.amount), 19);
    kept.lines = [a.id, b.id];
  });
  await check('create a deal with associations', async () => {
    const r = await hubspot.crm.deals.basicApi.create({
      properties: { dealname: `Deal ${stamp}`, amount: '118.99', dealstage: 'contractsent', pipeline: 'default', deal_currency_code: 'EUR' },
      associations: [to(kept.company, 5), to(kept.contact, 3), ...kept.lines.map((l) => to(l, 19))],
    });
    assert.strictEqual(r.properties.hs_is_closed_won, 'false');
    assert.strictEqual(r.properties.amount, '118.99');
    kept.deal = r.id;
  });
  await check('read a deal with properties and associations', async () => {
    const r = await hubspot.crm.deals.basicApi.getById(kept.deal, ['dealname', 'dealstage', 'hs_is_closed_won', 'closedate'], undefined, ['companies', 'line_items', 'contacts']);
    assert.strictEqual(r.properties.dealname, `Deal ${stamp}`);
    const types = r.associations.companies.results.map((a) => a.type).sort();
    assert.deepStrictEqual(types, ['deal_to_company', 'deal_to_company_unlabeled']);
    const lines = r.associations['line items'].results.map((a) => a.id).sort();
    assert.deepStrictEqual(lines, [...kept.lines].sort());
    assert.strictEqual(r.associations.contacts.results[0].id, kept.contact);
  });
  await check('winning a deal sets closed properties', async () => {
    await hubspot.crm.deals.basicApi.update(kept.deal, { properties: { dealstage: 'closedwon' } });
    const r = await hubspot.crm.deals.basicApi.getById(kept.deal, ['hs_is_closed_won', 'hs_is_closed', 'closedate', 'hs_lastmodifieddate']);
    assert.strictEqual(r.properties.hs_is_closed_won, 'true');
    assert.strictEqual(r.properties.hs_is_closed, 'true');
    assert(!Number.isNaN(Date.parse(r.properties.closedate)));
    assert.strictEqual(r.properties.hs_lastmodifieddate, r.updatedAt.toISOString());
  });
  await check('won follows the stage of any pipeline', async () => {
    const r = await hubspot.crm.deals.basicApi.create({ properties: { dealname: `Partner ${stamp}`, pipeline: kept.pipeline, dealstage: kept.signed }, associations: [] });
    const d = await hubspot.crm.deals.basicApi.getById(r.id, ['hs_is_closed_won']);
    assert.strictEqual(d.properties.hs_is_closed_won, 'true');
  });
  await check('read and write by a unique property', async () => {
    await hubspot.crm.deals.basicApi.update(kept.deal, { properties: { [kept.unique]: `u-${stamp}` } });
    const r = await hubspot.crm.deals.basicApi.getById(`u-${stamp}`, ['dealname'], undefined, undefined, false, kept.unique);
    assert.strictEqual(r.id, kept.deal);
  });
  await check('list pages by after', async () => {
    const seen = [];
    let after;
    do {
      const p = await hubspot.crm.lineItems.basicApi.getPage(1, after, ['name']);
      seen.push(...p.results.map((r) => r.id));
      after = p.paging ? p.paging.next.after : undefined;
    } while (after);
    for (const l of kept.lines) assert(seen.includes(l));
    assert.strictEqual(new Set(seen).size, seen.length);
  });
}

async function batches() {
  await check('batch create', async () => {
    const r = await hubspot.crm.deals.batchApi.create({ inputs: ['a', 'b'].map((n) => ({ properties: { dealname: `Batch ${n} ${stamp}`, dealstage: 'qualifiedtobuy', pipeline: 'default' }, associations: [to(kept.company, 341)] })) });
    assert.strictEqual(r.status, 'COMPLETE');
    assert.strictEqual(r.results.length, 2);
    kept.batch = r.results.map((d) => d.id);
  });
  await check('batch read, 207 with the missing one', async () => {
    const r = await hubspot.crm.deals.batchApi.read({ inputs: [...kept.batch, '999999999999'].map((id) => ({ id })), properties: ['dealname'], propertiesWithHistory: [] });
    assert.strictEqual(r.results.length, 2);
    assert.strictEqual(r.numErrors, 1);
    assert.strictEqual(r.errors[0].category, 'OBJECT_NOT_FOUND');
    assert.deepStrictEqual(r.errors[0].context.ids, ['999999999999']);
  });
  await check('batch update', async () => {
    const r = await hubspot.crm.deals.batchApi.update({ inputs: kept.batch.map((id) => ({ id, properties: { amount: '5.5' } })) });
    assert(r.results.every((d) => d.properties.amount === '5.5'));
  });
  await check('batch upsert by a unique property', async () => {
    const up = () => hubspot.crm.deals.batchApi.upsert({ inputs: [{ id: `up-${stamp}`, idProperty: kept.unique, properties: { dealname: `Upsert ${stamp}`, dealstage: 'qualifiedtobuy', pipeline: 'default' } }] });
    const first = await up();
    const second = await up();
    assert.strictEqual(first.results[0]._new, true);
    assert.strictEqual(second.results[0]._new, false);
    assert.strictEqual(first.results[0].id, second.results[0].id);
  });
  await check('400 for more than 100 inputs', () => refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.batchApi.read({ inputs: Array.from({ length: 101 }, (_, i) => ({ id: String(i + 1) })), properties: [], propertiesWithHistory: [] })));
  await check('batch archive', async () => {
    await hubspot.crm.deals.batchApi.archive({ inputs: [{ id: kept.batch[1] }] });
    await refused(404, 'OBJECT_NOT_FOUND', () => hubspot.crm.deals.basicApi.getById(kept.batch[1]));
    const r = await hubspot.crm.deals.basicApi.getById(kept.batch[1], ['dealname'], undefined, undefined, true);
    assert.strictEqual(r.archived, true);
    assert(r.archivedAt instanceof Date);
  });
}

const query = (filters, more) => ({ filterGroups: [{ filters }], sorts: [], properties: ['dealname'], limit: 10, ...more });

async function searching() {
  await check('search by equality', async () => {
    const r = await until('indexed deal', async () => {
      const r = await hubspot.crm.deals.searchApi.doSearch(query([{ propertyName: 'dealname', operator: 'EQ', value: `Deal ${stamp}` }]));
      return r.total === 1 && r;
    });
    assert.strictEqual(r.results[0].id, kept.deal);
  });
  await check('search by time, sorted and paged', async () => {
    const all = [];
    let after;
    do {
      const r = await hubspot.crm.deals.searchApi.doSearch({ filterGroups: [{ filters: [{ propertyName: 'hs_lastmodifieddate', operator: 'GTE', value: '0' }] }], sorts: ['hs_lastmodifieddate'], properties: ['hs_lastmodifieddate'], limit: 2, after });
      all.push(...r.results);
      after = r.paging ? r.paging.next.after : undefined;
    } while (after);
    const times = all.map((d) => Date.parse(d.properties.hs_lastmodifieddate));
    assert.deepStrictEqual(times, [...times].sort((a, b) => a - b));
    assert(all.length >= 3);
  });
  for (const [op, f] of [
    ['NEQ', { operator: 'NEQ', value: 'closedwon' }],
    ['IN', { operator: 'IN', values: ['qualifiedtobuy', 'contractsent'] }],
  ]) {
    await check(`search with ${op}`, async () => {
      const r = await hubspot.crm.deals.searchApi.doSearch(query([{ propertyName: 'dealstage', ...f }], { limit: 100 }));
      assert(r.total >= 1);
      assert(!r.results.some((d) => d.id === kept.deal));
    });
  }
  for (const [op, f] of [
    ['BETWEEN', { operator: 'BETWEEN', value: '100', highValue: '118.99' }],
    ['GT', { operator: 'GT', value: '118.98' }],
    ['LTE', { operator: 'LTE', value: '118.990' }],
    ['HAS_PROPERTY', { operator: 'HAS_PROPERTY' }],
  ]) {
    await check(`search with ${op}`, async () => {
      const r = await hubspot.crm.deals.searchApi.doSearch(query([{ propertyName: 'amount', ...f }, { propertyName: 'dealname', operator: 'EQ', value: `Deal ${stamp}` }]));
      assert.strictEqual(r.total, 1);
    });
  }
  await check('400 for an unknown search property', () => refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.searchApi.doSearch(query([{ propertyName: 'no_such_property', operator: 'EQ', value: '1' }]))));
}

async function associations() {
  await check('v4 labels', async () => {
    const r = await hubspot.crm.associations.v4.schema.definitionsApi.getAll('deals', 'companies');
    const byId = Object.fromEntries(r.results.map((l) => [l.typeId, l.label]));
    assert.strictEqual(byId[5], 'Primary');
    assert.strictEqual(byId[341], null);
  });
  await check('v4 primary company has both types', async () => {
    const r = await hubspot.crm.associations.v4.basicApi.getPage('deals', kept.deal, 'companies');
    assert.deepStrictEqual(typeIds(r.results[0]), [5, 341]);
    assert.strictEqual(String(r.results[0].toObjectId), kept.company);
  });
  await check('v4 line items both ways', async () => {
    const there = await hubspot.crm.associations.v4.basicApi.getPage('deals', kept.deal, 'line_items');
    assert.deepStrictEqual(typeIds(there.results[0]), [19]);
    const back = await hubspot.crm.associations.v4.basicApi.getPage('line_items', kept.lines[0], 'deals');
    assert.deepStrictEqual(typeIds(back.results[0]), [20]);
  });
  await check('v4 create, batch read, archive', async () => {
    const c = await hubspot.crm.companies.basicApi.create({ properties: { name: `Second ${stamp}` }, associations: [] });
    kept.second = c.id;
    await hubspot.crm.associations.v4.basicApi.create('deals', kept.deal, 'companies', c.id, [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 341 }]);
    const r = await hubspot.crm.associations.v4.batchApi.getPage('deals', 'companies', { inputs: [{ id: kept.deal }, { id: '999999999999' }] });
    const rows = r.results.find((x) => x._from.id === kept.deal).to;
    assert.strictEqual(rows.length, 2);
    assert.deepStrictEqual(typeIds(rows.find((x) => String(x.toObjectId) === c.id)), [341]);
    assert.strictEqual(r.errors.length, 1);
    await hubspot.crm.associations.v4.basicApi.archive('deals', kept.deal, 'companies', c.id);
    const after = await hubspot.crm.associations.v4.basicApi.getPage('deals', kept.deal, 'companies');
    assert.strictEqual(after.results.length, 1);
  });
  await check('v4 batch create moves the primary label', async () => {
    const r = await hubspot.crm.associations.v4.batchApi.create('deals', 'companies', { inputs: [{ _from: { id: kept.deal }, to: { id: kept.second }, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 5 }] }] });
    assert.strictEqual(r.status, 'COMPLETE');
    const rows = (await hubspot.crm.associations.v4.basicApi.getPage('deals', kept.deal, 'companies')).results;
    const primary = rows.filter((x) => typeIds(x).includes(5));
    assert.deepStrictEqual(primary.map((x) => String(x.toObjectId)), [kept.second]);
    assert.strictEqual(rows.length, 2);
  });
  await check('v4 default association', async () => {
    const r = await hubspot.crm.associations.v4.basicApi.createDefault('deals', kept.batch[0], 'contacts', kept.contact);
    assert.strictEqual(r.status, 'COMPLETE');
  });
}

async function errors() {
  await check('404 for an unknown object', () => refused(404, 'OBJECT_NOT_FOUND', () => hubspot.crm.deals.basicApi.getById('999999999999')));
  await check('400 for an unknown property', async () => {
    const b = await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.create({ properties: { no_such_property: '1' }, associations: [] }));
    assert.match(b.message, /PROPERTY_DOESNT_EXIST/);
  });
  await check('400 for an unknown stage', async () => {
    const b = await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.update(kept.deal, { properties: { dealstage: 'no_such_stage' } }));
    assert.match(b.message, /INVALID_OPTION/);
  });
  await check('400 for a currency the portal lacks', () => refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.update(kept.deal, { properties: { deal_currency_code: 'SEK' } })));
  await check('400 for an amount that is no number', async () => {
    const b = await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.update(kept.deal, { properties: { amount: '12,50' } }));
    assert.match(b.message, /INVALID_LONG/);
  });
  await check('400 for a read-only property', async () => {
    const b = await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.update(kept.deal, { properties: { hs_is_closed_won: 'true' } }));
    assert.match(b.message, /READ_ONLY_VALUE/);
  });
}

async function merging() {
  await check('merge makes a new company, old ids redirect', async () => {
    const r = await hubspot.crm.companies.basicApi.merge({ primaryObjectId: kept.company, objectIdToMerge: kept.second });
    assert(![kept.company, kept.second].includes(r.id));
    for (const old of [kept.company, kept.second]) {
      const read = await hubspot.crm.companies.basicApi.getById(old, ['name', 'hs_merged_object_ids']);
      assert.strictEqual(read.id, r.id);
      assert.strictEqual(read.properties.name, `Acme ${stamp}`);
      assert.deepStrictEqual(read.properties.hs_merged_object_ids.split(';').sort(), [kept.company, kept.second].sort());
    }
    const rows = (await hubspot.crm.associations.v4.basicApi.getPage('deals', kept.deal, 'companies')).results;
    assert.deepStrictEqual(rows.map((x) => String(x.toObjectId)), [r.id]);
    kept.merged = r.id;
  });
  await check('archive, then the object is gone from lists', async () => {
    await hubspot.crm.products.basicApi.archive(kept.product);
    const live = await hubspot.crm.products.basicApi.getPage(100);
    assert(!live.results.some((p) => p.id === kept.product));
    const gone = await hubspot.crm.products.basicApi.getPage(100, undefined, undefined, undefined, undefined, true);
    assert(gone.results.some((p) => p.id === kept.product));
  });
}

// hook listens on a port of its own, makes it the webhook target and keeps what arrives.
async function hook(refusals = 0) {
  const got = [];
  const server = http.createServer((req, res) => {
    let body = '';
    req.on('data', (d) => (body += d));
    req.on('end', () => {
      got.push({ headers: req.headers, body, path: req.url });
      res.writeHead(got.length > refusals ? 200 : 500).end();
    });
  });
  await new Promise((r) => server.listen(0, '127.0.0.1', r));
  const url = `http://127.0.0.1:${server.address().port}/webhooks/hubspot`;
  const r = await fetch(`${base}/_sandbox/settings`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ webhooks: { target: url, deliver: true } }) });
  assert(r.ok, `settings: ${r.status} ${await r.text()}`);
  return { got, url, server };
}

async function webhooks() {
  let h;
  await check('webhook target accepted', async () => { h = await hook(); });
  if (!h) return;
  const items = (type) => h.got.flatMap((d) => JSON.parse(d.body)).filter((i) => i.subscriptionType === type);
  await check('a delivered webhook carries a valid v3 signature', async () => {
    await hubspot.crm.deals.basicApi.update(kept.deal, { properties: { dealname: `Hooked ${stamp}` } });
    const item = await until('propertyChange', () => items('deal.propertyChange').find((i) => i.propertyName === 'dealname'));
    assert.strictEqual(String(item.objectId), kept.deal);
    assert.strictEqual(item.propertyValue, `Hooked ${stamp}`);
    assert.strictEqual(item.portalId, 48213);
    const d = h.got.find((d) => d.body.includes(`Hooked ${stamp}`));
    const sig = { signatureVersion: 'v3', method: 'POST', clientSecret: env.HUBSPOT_APP_SECRET, requestBody: d.body, url: h.url, timestamp: Number(d.headers['x-hubspot-request-timestamp']), signature: d.headers['x-hubspot-signature-v3'] };
    assert(Signature.isValid(sig));
    assert(!Signature.isValid({ ...sig, requestBody: d.body + ' ' }));
    assert(Signature.isValid({ signatureVersion: 'v1', clientSecret: env.HUBSPOT_APP_SECRET, requestBody: d.body, signature: d.headers['x-hubspot-signature'] }));
  });
  await check('creation, association change, merge and deletion webhooks', async () => {
    const a = await hubspot.crm.companies.basicApi.create({ properties: { name: `Hook a ${stamp}` }, associations: [] });
    const b = await hubspot.crm.companies.basicApi.create({ properties: { name: `Hook b ${stamp}` }, associations: [] });
    await hubspot.crm.associations.v4.basicApi.create('deals', kept.batch[0], 'companies', a.id, [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 341 }]);
    const m = await hubspot.crm.companies.basicApi.merge({ primaryObjectId: a.id, objectIdToMerge: b.id });
    await hubspot.crm.deals.basicApi.archive(kept.batch[0]);
    await until('creation', () => items('company.creation').some((i) => String(i.objectId) === a.id));
    const change = await until('associationChange', () => items('deal.associationChange').find((i) => String(i.toObjectId) === a.id));
    assert.strictEqual(String(change.fromObjectId), kept.batch[0]);
    assert.strictEqual(change.associationType, 'DEAL_TO_COMPANY');
    assert.strictEqual(change.associationRemoved, false);
    assert.strictEqual(change.objectId, undefined);
    await until('the other side', () => items('company.associationChange').some((i) => String(i.fromObjectId) === a.id));
    const merge = await until('merge', () => items('company.merge').find((i) => String(i.newObjectId) === m.id));
    assert.strictEqual(String(merge.primaryObjectId), a.id);
    assert.deepStrictEqual(merge.mergedObjectIds.map(String), [b.id]);
    await until('deletion', () => items('deal.deletion').some((i) => String(i.objectId) === kept.batch[0]));
  });
  h.server.close();
}

const settings = (body) => ours('settings', body);
const fault = (body) => ours('faults', body);

// ours sends a control call of the sandbox.
async function ours(path, body) {
  const r = await fetch(`${base}/_sandbox/${path}`, { method: 'POST', body: JSON.stringify(body) });
  assert.strictEqual(r.status, 200, await r.clone().text());
}

const redirect = 'http://127.0.0.1:1/callback';
const own = (token) => new Client({ accessToken: token, basePath: base, numberOfApiCallRetries: 0 });

// page asks the consent page that the client names, at the sandbox's address.
async function page(change = {}, portal) {
  const u = new URL(hubspot.oauth.getAuthorizationUrl(env.HUBSPOT_CLIENT_ID, redirect, 'oauth crm.objects.deals.read', undefined, 'st'));
  if (portal) u.pathname = `/oauth/${portal}/authorize`;
  for (const [k, v] of Object.entries(change)) u.searchParams.set(k, v);
  const r = await fetch(base + u.pathname + u.search, { redirect: 'manual' });
  return { status: r.status, body: r.status === 400 && (await r.json()), back: r.headers.get('location') && new URL(r.headers.get('location')).searchParams };
}

const exchange = (code, to = redirect) => hubspot.oauth.tokensApi.create('authorization_code', code, to, env.HUBSPOT_CLIENT_ID, env.HUBSPOT_APP_SECRET);
const refresh = (token, secret = env.HUBSPOT_APP_SECRET, kind = 'refresh_token') => hubspot.oauth.tokensApi.create(kind, undefined, undefined, env.HUBSPOT_CLIENT_ID, secret, token);

// badly runs f and wants the token endpoint's own kind of refusal.
async function badly(status, f) {
  await assert.rejects(f(), (e) => e.code === 400 && (typeof e.body === 'string' ? JSON.parse(e.body) : e.body).status === status);
}

async function consent() {
  await check('consent page, code, tokens and what is said of them', async () => {
    for (const portal of [undefined, '48213']) {
      const p = await page({}, portal);
      assert.strictEqual(p.status, 302);
      assert.strictEqual(p.back.get('state'), 'st');
      const t = await exchange(p.back.get('code'));
      const a = await hubspot.oauth.accessTokensApi.get(t.accessToken);
      assert.strictEqual(a.hubId, 48213);
      const r = await hubspot.oauth.refreshTokensApi.get(t.refreshToken);
      assert.strictEqual(r.tokenType, 'refresh');
      await own(t.accessToken).crm.deals.basicApi.getPage(1);
      kept.code = p.back.get('code');
      kept.refresh = t.refreshToken;
      kept.access = t.accessToken;
    }
  });
  await check('refusals of the token endpoint', async () => {
    await badly('BAD_AUTH_CODE', () => exchange(kept.code));
    await badly('BAD_REDIRECT_URI', async () => exchange((await page()).back.get('code'), 'http://127.0.0.1:1/other'));
    await badly('BAD_CLIENT_SECRET', () => refresh(kept.refresh, 'false'));
    await badly('BAD_GRANT_TYPE', () => refresh(kept.refresh, env.HUBSPOT_APP_SECRET, 'password'));
    await badly('BAD_REFRESH_TOKEN', () => refresh('false'));
  });
  await check('refusals of the consent page, and of the person', async () => {
    for (const [name, status] of [['client_id', 'BAD_CLIENT_ID'], ['redirect_uri', 'BAD_REDIRECT_URI']]) {
      assert.strictEqual((await page({ [name]: 'x' })).body.status, status);
    }
    assert.strictEqual((await page({ scope: '' })).body.status, 'BAD_SCOPE');
    await settings({ consent: 'deny' });
    assert.strictEqual((await page()).back.get('error'), 'access_denied');
    await settings({ consent: 'agree' });
  });
  await check('401 for a token that has expired', async () => {
    await fault({ match: { app: 'app' }, effect: 'expire_token', times: 1 });
    await refused(401, 'EXPIRED_AUTHENTICATION', () => own(kept.access).crm.deals.basicApi.getPage(1));
    await refused(401, 'EXPIRED_AUTHENTICATION', () => own(kept.access).crm.deals.basicApi.getPage(1));
    kept.access = (await refresh(kept.refresh)).accessToken;
    await own(kept.access).crm.deals.basicApi.getPage(1);
  });
  await check('a revoked consent, and a new one', async () => {
    await fault({ effect: 'revoke_consent', times: 1 });
    await refused(401, 'INVALID_AUTHENTICATION', () => own(kept.access).crm.deals.basicApi.getPage(1));
    await badly('BAD_REFRESH_TOKEN', () => refresh(kept.refresh));
    await own(env.HUBSPOT_READER_TOKEN).crm.deals.basicApi.getPage(1);
    const t = await exchange((await page()).back.get('code'));
    await own(t.accessToken).crm.deals.basicApi.getPage(1);
    await hubspot.crm.deals.basicApi.getPage(1);
    await hubspot.oauth.refreshTokensApi.archive(t.refreshToken);
    await badly('BAD_REFRESH_TOKEN', () => refresh(t.refreshToken));
  });
}

async function rest() {
  await check('pipelines and stages change', async () => {
    const p = await hubspot.crm.pipelines.pipelinesApi.update('deals', kept.pipeline, { label: `Renamed ${stamp}` });
    assert.strictEqual(p.label, `Renamed ${stamp}`);
    const s = await hubspot.crm.pipelines.pipelineStagesApi.create('deals', kept.pipeline, { label: 'Lost', displayOrder: 2, metadata: { probability: '0.0' } });
    assert.strictEqual(s.metadata.isClosed, 'true');
    const r = await hubspot.crm.pipelines.pipelineStagesApi.update('deals', kept.pipeline, kept.signed, { label: 'Signed and paid', metadata: { probability: '1.0' } });
    assert.strictEqual(r.label, 'Signed and paid');
  });
  await check('groups of properties', async () => {
    const r = await hubspot.crm.properties.groupsApi.getAll('deals');
    assert(r.results.some((g) => g.name === 'dealinformation'));
  });
  await check('v4 batches: default, labels archive, archive', async () => {
    const v4 = hubspot.crm.associations.v4;
    const [deal, company] = [await hubspot.crm.deals.basicApi.create({ properties: { dealname: `Links ${stamp}` }, associations: [] }), await hubspot.crm.companies.basicApi.create({ properties: { name: `Links ${stamp}` }, associations: [] })];
    const pair = { _from: { id: deal.id }, to: { id: company.id } };
    const ends = async () => (await v4.basicApi.getPage('deals', deal.id, 'companies')).results;
    await v4.batchApi.createDefault('deals', 'companies', { inputs: [pair] });
    assert.strictEqual((await ends()).length, 1);
    await v4.batchApi.create('deals', 'companies', { inputs: [{ ...pair, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 5 }] }] });
    assert.deepStrictEqual(typeIds((await ends())[0]), [5, 341]);
    await v4.batchApi.archiveLabels('deals', 'companies', { inputs: [{ ...pair, types: [{ associationCategory: 'HUBSPOT_DEFINED', associationTypeId: 5 }] }] });
    assert.deepStrictEqual(typeIds((await ends())[0]), [341]);
    await v4.batchApi.archive('deals', 'companies', { inputs: [{ _from: { id: deal.id }, to: [{ id: company.id }] }] });
    assert.strictEqual((await ends()).length, 0);
  });
  await check('batch with an input that failed inside: 207', async () => {
    await fault({ effect: 'partial_batch', times: 1 });
    const r = await hubspot.crm.products.batchApi.create({ inputs: ['a', 'b'].map((n) => ({ properties: { name: `${n} ${stamp}` }, associations: [] })) });
    assert.strictEqual(r.results.length, 1);
    assert.strictEqual(r.errors[0].category, 'INTERNAL_ERROR');
  });
  await check('an e-mail that is none, a date that is none', async () => {
    const b = await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.contacts.basicApi.create({ properties: { email: 'nobody' }, associations: [] }));
    assert.match(b.message, /INVALID_EMAIL/);
    assert.match((await refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.basicApi.create({ properties: { closedate: 'soon' }, associations: [] }))).message, /INVALID_DATE/);
  });
  await check('statuses a portal answers now and then', async () => {
    for (const [status, category] of [[403, 'MISSING_SCOPES'], [423, 'LOCKED'], [500, 'INTERNAL_ERROR']]) {
      await fault({ effect: 'status', status, times: 1 });
      await refused(status, category, () => own(env.HUBSPOT_TOKEN).crm.deals.basicApi.getPage(1));
    }
  });
  await check('429 of each policy, and the headers', async () => {
    const over = async (limit, policy, f) => {
      await settings({ limits: { [limit]: 1 } });
      let got;
      for (let i = 0; i < 3 && !got; i++) await f().catch((e) => (got = e));
      await settings({ limits: { ten_secondly_rolling: 0, secondly: 0, daily: 0 } });
      assert.strictEqual(got.code, 429);
      assert.strictEqual(got.body.policyName, policy);
      assert.strictEqual(got.body.errorType, 'RATE_LIMIT');
      return got.headers;
    };
    await settings({ limits: { ten_secondly_rolling: 0, secondly: 0, daily: 0 } });
    const list = () => own(env.HUBSPOT_TOKEN).crm.deals.basicApi.getPage(1);
    const h = await over('ten_secondly_rolling', 'TEN_SECONDLY_ROLLING', list);
    assert.strictEqual(h['x-hubspot-ratelimit-interval-milliseconds'], '10000');
    assert.strictEqual((await over('daily', 'DAILY', list))['x-hubspot-ratelimit-daily-remaining'], '0');
    await over('secondly', 'SECONDLY', () => own(env.HUBSPOT_TOKEN).crm.deals.searchApi.doSearch(query([], { limit: 1 })));
  });
  await check('400 beyond ten thousand results', () => refused(400, 'VALIDATION_ERROR', () => hubspot.crm.deals.searchApi.doSearch(query([], { after: '9991', limit: 10 }))));
  await check('405 and an unknown type', async () => {
    const r = await hubspot.apiRequest({ method: 'PUT', path: '/crm/v3/objects/deals', body: {} });
    assert.strictEqual((await r.json()).category, 'METHOD_NOT_ALLOWED');
  });
  await check('generic webhooks, and a retry that is signed anew', async () => {
    const h = await hook(1);
    await settings({ webhook_form: 'generic' });
    await hubspot.crm.companies.basicApi.create({ properties: { name: `Generic ${stamp}` }, associations: [] });
    await until('a second attempt', () => h.got.length >= 2);
    const [first, second] = h.got;
    for (const [d, n] of [[first, 0], [second, 1]]) {
      for (const e of JSON.parse(d.body)) {
        assert.strictEqual(e.attemptNumber, n);
        assert.match(e.subscriptionType, /^object\./);
        assert.strictEqual(e.objectTypeId, '0-2');
      }
      assert(Signature.isValid({ signatureVersion: 'v3', method: 'POST', clientSecret: env.HUBSPOT_APP_SECRET, requestBody: d.body, url: h.url, timestamp: Number(d.headers['x-hubspot-request-timestamp']), signature: d.headers['x-hubspot-signature-v3'] }));
    }
    await settings({ webhook_form: 'typed' });
    h.server.close();
  });
}

(async () => {
  for (const part of [account, pipelines, properties, objects, batches, searching, associations, errors, merging, webhooks, consent, rest]) await part();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
})();
