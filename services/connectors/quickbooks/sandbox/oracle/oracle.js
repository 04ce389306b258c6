// Drives a QuickBooks Online company with node-quickbooks and intuit-oauth and checks what comes back.
// Environment: QBO_BASE_URL, QBO_REALM, QBO_CLIENT_ID, QBO_CLIENT_SECRET, QBO_ACCESS_TOKEN, QBO_REFRESH_TOKEN, QBO_READER_TOKEN, QBO_VERIFIER_TOKEN.
// One line a check, the last line is the count; exit 1 if a check failed.
'use strict';
const assert = require('assert');
const crypto = require('crypto');
const http = require('http');
const QuickBooks = require('node-quickbooks');
const OAuthClient = require('intuit-oauth');

const env = process.env;
const base = env.QBO_BASE_URL;
const realm = env.QBO_REALM;
const redirectUri = 'http://127.0.0.1:1/callback';
QuickBooks.TOKEN_URL = base + '/oauth2/v1/tokens/bearer';
QuickBooks.REVOKE_URL = base + '/v2/oauth2/tokens/revoke';
OAuthClient.tokenEndpoint = base + '/oauth2/v1/tokens/bearer';
OAuthClient.revokeEndpoint = base + '/v2/oauth2/tokens/revoke';
OAuthClient.authorizeEndpoint = base + '/connect/oauth2';
OAuthClient.environment.sandbox = base + '/';

const qbo = client(env.QBO_ACCESS_TOKEN, env.QBO_REFRESH_TOKEN);
const stamp = Date.now().toString(36);
let passed = 0;
let failed = 0;

function client(access, refresh) {
  const q = new QuickBooks(env.QBO_CLIENT_ID, env.QBO_CLIENT_SECRET, access, false, realm, true, false, 75, '2.0', refresh);
  q.endpoint = base + '/v3/company/';
  return q;
}

// call turns a callback method into a promise; it also tells the HTTP status of a refusal.
const call = (q, method, ...args) => new Promise((ok, no) => q[method](...args, (err, data) => (err ? no(err) : ok(data))));

async function check(name, f) {
  try {
    await f();
    passed++;
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`not ok ${name}: ${(e && (e.message || JSON.stringify(e))) || e} ${JSON.stringify(e && e.response && e.response.data) || ''}`);
  }
}

// refused runs f and returns the vendor's error after checking the shape all errors share.
async function refused(code, f) {
  let got;
  try {
    await f();
  } catch (e) {
    got = e;
  }
  assert(got, `expected ${code}, got an answer`);
  assert.strictEqual(got.response.status, 400, JSON.stringify(got.response.data));
  const body = got.response.data;
  assert.strictEqual(body.Fault.type, 'ValidationFault');
  assert.match(body.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$/);
  const [error] = body.Fault.Error;
  assert.strictEqual(error.code, code, JSON.stringify(error));
  assert(error.Message && error.Detail);
  return error;
}

async function control(path, body, method = 'POST') {
  const r = await fetch(`${base}/_sandbox/${path}`, { method, body: body && JSON.stringify(body) });
  assert.strictEqual(r.status, 200, await r.clone().text());
  return r;
}

const sale = (amount, item, code, more = {}) => ({ Amount: amount, DetailType: 'SalesItemLineDetail', SalesItemLineDetail: { ItemRef: { value: item }, TaxCodeRef: { value: code }, ...more } });
const kept = {};

async function company() {
  await check('getCompanyInfo', async () => {
    const r = await call(qbo, 'getCompanyInfo', realm);
    assert.strictEqual(r.Country, 'IE');
  });
  await check('getPreferences', async () => {
    const r = await call(qbo, 'getPreferences');
    assert.strictEqual(r.CurrencyPrefs.HomeCurrency.value, 'EUR');
    assert.strictEqual(r.CurrencyPrefs.MultiCurrencyEnabled, false);
  });
  await check('findAccounts finds the income account', async () => {
    const r = await call(qbo, 'findAccounts', { AccountType: 'Income', Name: 'Sales' });
    kept.income = r.QueryResponse.Account[0].Id;
  });
  await check('findTaxCodes and its rate', async () => {
    const codes = (await call(qbo, 'findTaxCodes', {})).QueryResponse.TaxCode;
    const code = codes.find((c) => c.Name === '23.0% S');
    kept.vat = code.Id;
    kept.zero = codes.find((c) => c.Name === '0.0% Z').Id;
    const rate = await call(qbo, 'getTaxRate', code.SalesTaxRateList.TaxRateDetail[0].TaxRateRef.value);
    assert.strictEqual(rate.RateValue, 23);
  });
  await check('findTerms', async () => {
    const r = await call(qbo, 'findTerms', { Name: 'Net 30' });
    kept.term = r.QueryResponse.Term[0].Id;
  });
}

async function customers() {
  await check('createCustomer', async () => {
    const r = await call(qbo, 'createCustomer', { DisplayName: `Oracle & Söhne's ${stamp}`, PrimaryEmailAddr: { Address: `ap-${stamp}@example.com` }, BillAddr: { Line1: '1 Quay', City: 'Cork', Country: 'Ireland' } });
    assert.strictEqual(r.SyncToken, '0');
    assert.strictEqual(r.Active, true);
    assert.strictEqual(r.Balance, 0);
    kept.customer = r;
  });
  await check('getCustomer reads it back', async () => {
    const r = await call(qbo, 'getCustomer', kept.customer.Id);
    assert.strictEqual(r.DisplayName, kept.customer.DisplayName);
    assert.strictEqual(r.BillAddr.City, 'Cork');
  });
  await check('findCustomers by e-mail', async () => {
    const r = await call(qbo, 'findCustomers', [{ field: 'PrimaryEmailAddr', value: `ap-${stamp}@example.com` }]);
    assert.strictEqual(r.QueryResponse.Customer.length, 1);
    assert.strictEqual(r.QueryResponse.maxResults, 1);
  });
  await check('findCustomers by a name with a quote', async () => {
    const r = await call(qbo, 'findCustomers', [{ field: 'DisplayName', value: kept.customer.DisplayName }]);
    assert.strictEqual(r.QueryResponse.Customer[0].Id, kept.customer.Id);
  });
  await check('updateCustomer, sparse', async () => {
    const r = await call(qbo, 'updateCustomer', { Id: kept.customer.Id, SyncToken: '0', Notes: 'kept' });
    assert.strictEqual(r.SyncToken, '1');
    assert.strictEqual(r.BillAddr.City, 'Cork');
    assert.strictEqual(r.Notes, 'kept');
  });
  await check('5010 stale object', () => refused('5010', () => call(qbo, 'updateCustomer', { Id: kept.customer.Id, SyncToken: '0', Notes: 'late' })));
  await check('6240 duplicate name', () => refused('6240', () => call(qbo, 'createCustomer', { DisplayName: kept.customer.DisplayName.toUpperCase() })));
  await check('6240 across vendors', () => refused('6240', () => call(qbo, 'createVendor', { DisplayName: kept.customer.DisplayName })));
  await check('610 object not found', () => refused('610', () => call(qbo, 'getCustomer', '999999')));
  await check('2010 unknown property', () => refused('2010', () => call(qbo, 'createCustomer', { DisplayName: `X ${stamp}`, NickName: 'x' })));
}

async function items() {
  await check('createItem', async () => {
    const r = await call(qbo, 'createItem', { Name: `Licence ${stamp}`, Type: 'Service', IncomeAccountRef: { value: kept.income }, UnitPrice: 99.5 });
    assert.strictEqual(r.IncomeAccountRef.name, 'Sales');
    kept.item = r;
  });
  await check('getItem, findItems, updateItem', async () => {
    assert.strictEqual((await call(qbo, 'getItem', kept.item.Id)).UnitPrice, 99.5);
    assert.strictEqual((await call(qbo, 'findItems', { Name: kept.item.Name })).QueryResponse.Item[0].Id, kept.item.Id);
    const r = await call(qbo, 'updateItem', { Id: kept.item.Id, SyncToken: '0', Description: 'per seat' });
    assert.strictEqual(r.UnitPrice, 99.5);
    assert.strictEqual(r.Description, 'per seat');
  });
  await check('2500 account that is not there', () => refused('2500', () => call(qbo, 'createItem', { Name: `Y ${stamp}`, Type: 'Service', IncomeAccountRef: { value: '999999' } })));
}

async function invoices() {
  const draft = () => ({ CustomerRef: { value: kept.customer.Id }, TxnDate: '2026-10-01', SalesTermRef: { value: kept.term }, PrivateNote: 'TO-ORACLE',
    Line: [sale(298.5, kept.item.Id, kept.vat, { Qty: 3, UnitPrice: 99.5 }), sale(0.03, kept.item.Id, kept.zero)] });
  await check('createInvoice computes tax, total, due date and number', async () => {
    const r = await call(qbo, 'createInvoice', draft());
    assert.strictEqual(r.TotalAmt, 367.19); // 298.50 × 23 % is 68.655, half up
    assert.strictEqual(r.TxnTaxDetail.TotalTax, 68.66);
    assert.strictEqual(r.DueDate, '2026-10-31');
    assert(r.DocNumber);
    assert.deepStrictEqual(r.Line.map((l) => l.DetailType), ['SalesItemLineDetail', 'SalesItemLineDetail', 'SubTotalLineDetail']);
    kept.invoice = r;
  });
  await check('getInvoice', async () => assert.strictEqual((await call(qbo, 'getInvoice', kept.invoice.Id)).TotalAmt, 367.19));
  await check('findInvoices by DocNumber', async () => {
    const r = await call(qbo, 'findInvoices', { DocNumber: kept.invoice.DocNumber });
    assert.strictEqual(r.QueryResponse.Invoice[0].Id, kept.invoice.Id);
  });
  await check('findInvoices by customer and time, count', async () => {
    const r = await call(qbo, 'findInvoices', [{ field: 'CustomerRef', value: kept.customer.Id }, { field: 'MetaData.CreateTime', value: '2020-01-01T00:00:00Z', operator: '>=' }, { count: true }]);
    assert.strictEqual(r.QueryResponse.totalCount, 1);
  });
  await check('4001 a note cannot be filtered', () => refused('4001', () => call(qbo, 'findInvoices', { PrivateNote: 'TO-ORACLE' })));
  await check('requestid replays the first answer', async () => {
    const requestId = crypto.randomUUID();
    const a = await call(qbo, 'createInvoice', { ...draft(), requestId });
    const b = await call(qbo, 'createInvoice', { ...draft(), requestId });
    assert.strictEqual(a.Id, b.Id);
    const c = await call(qbo, 'createInvoice', { ...draft(), requestId: crypto.randomUUID() });
    assert.notStrictEqual(a.Id, c.Id);
    kept.second = a;
  });
  await check('6070 amount is not quantity times price', () => refused('6070', () => call(qbo, 'createInvoice', { ...draft(), Line: [sale(10, kept.item.Id, kept.vat, { Qty: 3, UnitPrice: 3.33 })] })));
  await check('2500 customer that is not there', () => refused('2500', () => call(qbo, 'createInvoice', { ...draft(), CustomerRef: { value: '999999' } })));
  await check('2020 no lines', () => refused('2020', () => call(qbo, 'createInvoice', { CustomerRef: { value: kept.customer.Id } })));
  await check('6140 duplicate number and its bypass', async () => {
    await refused('6140', () => call(qbo, 'createInvoice', { ...draft(), DocNumber: kept.invoice.DocNumber }));
    await call(qbo, 'createInvoice', { ...draft(), DocNumber: kept.invoice.DocNumber, allowDuplicateDocNum: true });
  });
  await check('updateInvoice replaces the lines and keeps the note', async () => {
    const r = await call(qbo, 'updateInvoice', { Id: kept.invoice.Id, SyncToken: kept.invoice.SyncToken, Line: [{ ...sale(100, kept.item.Id, kept.vat), Id: '1' }] });
    assert.strictEqual(r.TotalAmt, 123);
    assert.strictEqual(r.PrivateNote, 'TO-ORACLE');
    kept.invoice = r;
  });
  await check('sendInvoicePdf mails the invoice', async () => {
    await refused('2020', () => call(qbo, 'sendInvoicePdf', kept.invoice.Id));
    const r = await call(qbo, 'sendInvoicePdf', kept.invoice.Id, 'ann@example.com');
    assert.strictEqual(r.EmailStatus, 'EmailSent');
    assert.strictEqual(r.BillEmail.Address, 'ann@example.com');
    assert.strictEqual(r.Balance, kept.invoice.Balance);
    kept.invoice = await call(qbo, 'sendInvoicePdf', kept.invoice.Id);
    assert.strictEqual(kept.invoice.DeliveryInfo.DeliveryType, 'Email');
  });
  await check('createPayment settles the invoice', async () => {
    const r = await call(qbo, 'createPayment', { CustomerRef: { value: kept.customer.Id }, TotalAmt: 23, Line: [{ Amount: 23, LinkedTxn: [{ TxnId: kept.invoice.Id, TxnType: 'Invoice' }] }] });
    assert.strictEqual(r.UnappliedAmt, 0);
    assert.strictEqual((await call(qbo, 'getInvoice', kept.invoice.Id)).Balance, 100);
  });
  await check('a paid invoice is not voided', () => refused('6000', () => call(qbo, 'voidInvoice', kept.invoice.Id)));
  await check('voidInvoice zeroes and says so', async () => {
    const r = (await call(qbo, 'voidInvoice', kept.second.Id)).Invoice;
    assert.strictEqual(r.TotalAmt, 0);
    assert.strictEqual(r.Balance, 0);
    assert.match(r.PrivateNote, /^Voided/);
    assert.strictEqual(r.DocNumber, kept.second.DocNumber);
  });
  await check('6210 closed period', async () => {
    await control('settings', { closing_date: '2026-10-01' });
    await refused('6210', () => call(qbo, 'createInvoice', draft()));
    await control('settings', { closing_date: '' });
  });
}

async function credits() {
  const draft = () => ({ CustomerRef: { value: kept.customer.Id }, Line: [sale(10, kept.item.Id, kept.vat)] });
  await check('createCreditMemo, getCreditMemo, updateCreditMemo, findCreditMemos', async () => {
    const r = await call(qbo, 'createCreditMemo', draft());
    assert.strictEqual(r.TotalAmt, 12.3);
    assert.strictEqual(r.RemainingCredit, 12.3);
    assert.strictEqual((await call(qbo, 'getCreditMemo', r.Id)).RemainingCredit, 12.3);
    kept.memo = await call(qbo, 'updateCreditMemo', { Id: r.Id, SyncToken: r.SyncToken, PrivateNote: 'kept' });
    assert.strictEqual(kept.memo.TotalAmt, 12.3);
    const f = await call(qbo, 'findCreditMemos', { DocNumber: r.DocNumber });
    assert.strictEqual(f.QueryResponse.CreditMemo[0].Id, r.Id);
  });
  await check('a payment uses the credit memo; getPayment, findPayments', async () => {
    const p = await call(qbo, 'createPayment', { CustomerRef: { value: kept.customer.Id }, TotalAmt: 0, Line: [
      { Amount: 12.3, LinkedTxn: [{ TxnId: kept.invoice.Id, TxnType: 'Invoice' }] }, { Amount: 12.3, LinkedTxn: [{ TxnId: kept.memo.Id, TxnType: 'CreditMemo' }] }] });
    assert.strictEqual((await call(qbo, 'getCreditMemo', kept.memo.Id)).RemainingCredit, 0);
    assert.strictEqual((await call(qbo, 'getInvoice', kept.invoice.Id)).Balance, 87.7);
    assert.strictEqual((await call(qbo, 'getPayment', p.Id)).UnappliedAmt, 0);
    assert((await call(qbo, 'findPayments', { CustomerRef: kept.customer.Id })).QueryResponse.Payment.length >= 2);
    kept.payment = p;
  });
  await check('2170 a payment of a bill', () => refused('2170', () => call(qbo, 'createPayment', { CustomerRef: { value: kept.customer.Id }, TotalAmt: 1, Line: [{ Amount: 1, LinkedTxn: [{ TxnId: '1', TxnType: 'Bill' }] }] })));
  await check('voidPayment gives it back', async () => {
    const p = await call(qbo, 'voidPayment', kept.payment);
    assert.strictEqual((p.Payment || p).TotalAmt, 0);
    assert.strictEqual((await call(qbo, 'getCreditMemo', kept.memo.Id)).RemainingCredit, 12.3);
  });
  await check('deletePayment, deleteCreditMemo, deleteInvoice', async () => {
    const p = await call(qbo, 'createPayment', { CustomerRef: { value: kept.customer.Id }, TotalAmt: 5 });
    assert.strictEqual((await call(qbo, 'deletePayment', p.Id)).Payment.status, 'Deleted');
    assert.strictEqual((await call(qbo, 'deleteCreditMemo', kept.memo.Id)).CreditMemo.status, 'Deleted');
    const i = await call(qbo, 'createInvoice', draft());
    assert.strictEqual((await call(qbo, 'deleteInvoice', i.Id)).Invoice.status, 'Deleted');
    await refused('610', () => call(qbo, 'getInvoice', i.Id));
  });
}

async function lists() {
  await check('vendors and employees', async () => {
    for (const [kind, name] of [['Vendor', `Paper ${stamp}`], ['Employee', `Eve ${stamp}`]]) {
      const r = await call(qbo, `create${kind}`, kind === 'Employee' ? { GivenName: 'Eve', FamilyName: stamp } : { DisplayName: name });
      assert.strictEqual((await call(qbo, `get${kind}`, r.Id)).DisplayName, name);
      assert.strictEqual((await call(qbo, `update${kind}`, { ...r, PrintOnCheckName: 'P' })).SyncToken, '1');
      assert.strictEqual((await call(qbo, `find${kind}s`, { DisplayName: name })).QueryResponse[kind][0].Id, r.Id);
    }
  });
  await check('accounts and terms', async () => {
    const a = await call(qbo, 'createAccount', { Name: `Till ${stamp}`, AccountType: 'Bank' });
    assert.strictEqual((await call(qbo, 'getAccount', a.Id)).Classification, 'Asset');
    const t = await call(qbo, 'createTerm', { Name: `Net 45 ${stamp}`, DueDays: 45 });
    assert.strictEqual((await call(qbo, 'getTerm', t.Id)).DueDays, 45);
    assert.strictEqual((await call(qbo, 'getTaxCode', kept.vat)).Name, '23.0% S');
    assert((await call(qbo, 'findTaxRates', {})).QueryResponse.TaxRate.length >= 3);
  });
  await check('exchange rates', async () => {
    const r = await call(qbo, 'updateExchangeRate', { SourceCurrencyCode: 'USD', AsOfDate: '2026-11-01', Rate: 0.95 });
    assert.strictEqual((r.ExchangeRate || r).Rate, 0.95);
    const got = await call(qbo, 'getExchangeRate', { sourcecurrencycode: 'USD', asofdate: '2026-11-01' });
    assert.strictEqual((got.ExchangeRate || got).TargetCurrencyCode, 'EUR');
  });
  await check('2040, 2050, 2020 names the books do not take', async () => {
    await refused('2040', () => call(qbo, 'createCustomer', { DisplayName: `A:B ${stamp}` }));
    await refused('2050', () => call(qbo, 'createCustomer', { DisplayName: 'n'.repeat(501) }));
    await refused('2020', () => call(qbo, 'createCustomer', { Notes: 'nameless' }));
  });
  await check('4000 no query', () => refused('4000', () => call(qbo, 'findCustomers', 'where where')));
  await check('500 an operation an entity does not have', () => refused('500', () => call(qbo, 'createEstimate', {})));
  await check('6190 subscription ended: reading is left', async () => {
    await control('settings', { subscription: 'EXPIRED' });
    await refused('6190', () => call(qbo, 'createCustomer', { DisplayName: `Late ${stamp}` }));
    await call(qbo, 'getCustomer', kept.customer.Id);
    await control('settings', { subscription: 'SUBSCRIBED' });
  });
  await check('120 the person was removed', async () => {
    await control('settings', { user: 'removed' });
    await assert.rejects(call(qbo, 'getCustomer', kept.customer.Id), (e) => e.response.status === 403 && e.response.data.Fault.Error[0].code === '120' && e.response.data.Fault.type === 'AuthorizationFault');
    await control('settings', { user: 'admin' });
  });
  await check('3100 another company', async () => {
    const other = client(env.QBO_ACCESS_TOKEN, 'none');
    other.realmId = '1';
    await assert.rejects(call(other, 'getCustomer', '1'), (e) => e.response.status === 403 && e.response.data.fault.error[0].code === '3100');
  });
  await check('500 of the vendor: a fault that is a system fault', async () => {
    await control('faults', { effect: 'status', status: 500, times: 1 });
    await assert.rejects(call(qbo, 'getCustomer', kept.customer.Id), (e) => e.response.status === 500 && e.response.data.Fault.type === 'SystemFault' && e.response.data.Fault.Error[0].code === '10000');
  });
}

async function many() {
  await check('batch voids by optionsData, item by item', async () => {
    const draft = { CustomerRef: { value: kept.customer.Id }, Line: [sale(10, kept.item.Id, kept.vat)] };
    const made = await call(qbo, 'batch', ['a', 'b'].map((bId) => ({ bId, operation: 'create', Invoice: draft })));
    const [a, b] = made.BatchItemResponse.map((x) => x.Invoice);
    const r = await call(qbo, 'batch', [
      { bId: 'v', operation: 'update', optionsData: 'void', Invoice: { Id: a.Id, SyncToken: a.SyncToken } },
      { bId: 's', operation: 'update', optionsData: 'void', Invoice: { Id: b.Id, SyncToken: '9' } },
      { bId: 'd', operation: 'delete', Invoice: { Id: b.Id, SyncToken: b.SyncToken } }]);
    const by = Object.fromEntries(r.BatchItemResponse.map((x) => [x.bId, x]));
    assert.strictEqual(by.v.Invoice.TotalAmt, 0);
    assert.strictEqual(by.s.Fault.Error[0].code, '5010');
    assert.strictEqual(by.d.Invoice.status, 'Deleted');
  });
  await check('1040 more items than a batch may have', () => refused('1040', () => call(qbo, 'batch', Array.from({ length: 31 }, (_, i) => ({ bId: String(i), Query: 'select * from Item' })))));
  await check('batch of create, query and void', async () => {
    const r = await call(qbo, 'batch', [
      { bId: '0', operation: 'create', Customer: { DisplayName: `Batch ${stamp}` } },
      { bId: '1', operation: 'create', Customer: { DisplayName: kept.customer.DisplayName } },
      { bId: '2', Query: 'select * from Item' },
    ]);
    const [a, b, c] = r.BatchItemResponse;
    assert.strictEqual(a.Customer.DisplayName, `Batch ${stamp}`);
    assert.strictEqual(b.Fault.Error[0].code, '6240');
    assert(c.QueryResponse.Item.length >= 1);
  });
  await check('changeDataCapture', async () => {
    const r = await call(qbo, 'changeDataCapture', ['Invoice', 'Customer'], new Date(Date.now() - 3600e3));
    const [invoices, customers] = r.CDCResponse[0].QueryResponse;
    assert(invoices.Invoice.length >= 3);
    assert(customers.Customer.some((x) => x.Id === kept.customer.Id));
  });
  await check('fault_in_200 is an error to the client', async () => {
    await control('faults', { effect: 'fault_in_200', times: 1 });
    await assert.rejects(call(qbo, 'getCustomer', kept.customer.Id), (e) => e.Fault.Error.length === 1);
  });
  await check('429 by the second, in the vendor\'s shape', async () => {
    const answers = await Promise.allSettled(Array.from({ length: 25 }, () => call(qbo, 'getCustomer', kept.customer.Id)));
    const over = answers.filter((a) => a.status === 'rejected').map((a) => a.reason.response);
    assert(over.length > 0);
    assert.strictEqual(over[0].status, 429);
    assert.match(over[0].data.fault.error[0].message, /ThrottleExceeded; errorCode=003001; statusCode=429/);
    await new Promise((ok) => setTimeout(ok, 1100));
  });
}

async function webhooks() {
  await check('a webhook is signed and names the change', async () => {
    const arrived = new Promise((ok) => {
      const server = http.createServer((q, r) => {
        let body = '';
        q.on('data', (d) => (body += d));
        q.on('end', () => { r.end(); server.close(); ok({ body, signature: q.headers['intuit-signature'] }); });
      }).listen(0, '127.0.0.1', () => control('settings', { webhooks: { target: `http://127.0.0.1:${server.address().port}/hook` } })
        .then(() => call(qbo, 'createCustomer', { DisplayName: `Hook ${stamp}` })));
    });
    const { body, signature } = await arrived;
    assert.strictEqual(signature, crypto.createHmac('sha256', env.QBO_VERIFIER_TOKEN).update(body).digest('base64'));
    const [event] = JSON.parse(body);
    assert.strictEqual(event.type, 'qbo.customer.created.v1');
    assert.strictEqual(event.intuitaccountid, realm);
    await control('settings', { webhooks: { target: '' } });
  });
  await check('the older form of a webhook is signed and names the change', async () => {
    const hook = await listen();
    await control('settings', { webhook_form: 'legacy', webhooks: { target: hook.url } });
    const made = await call(qbo, 'createCustomer', { DisplayName: `Old hook ${stamp}` });
    const { body, signature } = await hook.arrived;
    assert.strictEqual(signature, crypto.createHmac('sha256', env.QBO_VERIFIER_TOKEN).update(body).digest('base64'));
    const [note] = JSON.parse(body).eventNotifications;
    assert.strictEqual(note.realmId, realm);
    assert.deepStrictEqual(note.dataChangeEvent.entities.map((e) => [e.name, e.id, e.operation]), [['Customer', made.Id, 'Create']]);
    await control('settings', { webhook_form: 'cloudevents', webhooks: { target: '' } });
  });
}

// listen waits for one delivery.
async function listen() {
  let server;
  const arrived = new Promise((ok) => {
    server = http.createServer((q, r) => {
      let body = '';
      q.on('data', (d) => (body += d));
      q.on('end', () => { r.end(); server.close(); ok({ body, signature: q.headers['intuit-signature'] }); });
    });
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  return { url: `http://127.0.0.1:${server.address().port}/hook`, arrived };
}

function oauth(token) {
  const c = new OAuthClient({ clientId: env.QBO_CLIENT_ID, clientSecret: env.QBO_CLIENT_SECRET, environment: 'sandbox', redirectUri, includeRefreshTokenHardExpiresIn: true });
  if (token) c.setToken({ token_type: 'bearer', expires_in: 3600, x_refresh_token_expires_in: 8726400, createdAt: Date.now(), ...token });
  return c;
}

async function tokens() {
  await check('an expired token is 401 and node-quickbooks refreshes', async () => {
    await control('faults', { effect: 'expire_token', times: 1 });
    await assert.rejects(call(qbo, 'getCustomer', kept.customer.Id), (e) => e.response.status === 401 && e.response.data.fault.error[0].code === '3200');
    const r = await call(qbo, 'refreshAccessToken');
    assert.strictEqual(r.token_type, 'bearer');
    assert.strictEqual(r.expires_in, 3600);
    assert(r.x_refresh_token_expires_in > 8e6);
    await call(qbo, 'getCustomer', kept.customer.Id);
  });
  await check('intuit-oauth refreshes and calls', async () => {
    const c = oauth({ access_token: qbo.token, refresh_token: qbo.refreshToken });
    const r = await c.refresh();
    assert(r.getIntuitTid());
    assert(c.getToken().x_refresh_token_hard_expires_in > 8e6);
    const q = await c.makeApiCall({ url: `v3/company/${realm}/query?query=${encodeURIComponent('select * from CompanyInfo')}` });
    assert.strictEqual(q.json.QueryResponse.CompanyInfo.length, 1);
    kept.oauth = c;
  });
  await check('a false refresh token is invalid_grant', async () => {
    const c = oauth({ access_token: 'x', refresh_token: 'false' });
    await assert.rejects(c.refresh(), (e) => e.error === 'invalid_grant');
  });
  await check('revoke, then consent again by authorizeUri and createToken', async () => {
    const old = kept.oauth.getToken().refresh_token;
    await kept.oauth.revoke({ refresh_token: old });
    await assert.rejects(oauth({ access_token: 'x', refresh_token: old }).refresh(), (e) => e.error === 'invalid_grant');
    const c = oauth();
    const page = await fetch(c.authorizeUri({ scope: [OAuthClient.scopes.Accounting], state: 'st' }), { redirect: 'manual' });
    assert.strictEqual(page.status, 302);
    await c.createToken(page.headers.get('location'));
    assert.strictEqual(c.getToken().realmId, realm);
    const again = client(c.getToken().access_token, c.getToken().refresh_token);
    await call(again, 'getCustomer', kept.customer.Id);
  });
  await check('consent that is denied, and a page that is asked wrongly', async () => {
    await control('settings', { consent: 'deny' });
    const page = await fetch(oauth().authorizeUri({ scope: [OAuthClient.scopes.Accounting], state: 'st' }), { redirect: 'manual' });
    const back = new URL(page.headers.get('location')).searchParams;
    assert.strictEqual(back.get('error'), 'access_denied');
    assert.strictEqual(back.get('state'), 'st');
    await control('settings', { consent: 'agree' });
    for (const [name, value, error] of [['client_id', 'x', 'invalid_client'], ['redirect_uri', 'x', 'invalid_request'], ['response_type', 'token', 'unsupported_response_type'], ['scope', 'openid', 'invalid_scope']]) {
      const u = new URL(oauth().authorizeUri({ scope: [OAuthClient.scopes.Accounting], state: 'st' }));
      u.searchParams.set(name, value);
      const r = await fetch(u, { redirect: 'manual' });
      assert.strictEqual(r.status, 400);
      assert.strictEqual((await r.json()).error, error);
    }
  });
  await check('invalid_client, unsupported_grant_type, a code that is not one', async () => {
    const stranger = new OAuthClient({ clientId: 'x', clientSecret: 'y', environment: 'sandbox', redirectUri });
    stranger.setToken({ token_type: 'bearer', access_token: 'x', refresh_token: 'r', expires_in: 3600, x_refresh_token_expires_in: 8726400, createdAt: Date.now() });
    await assert.rejects(stranger.refresh(), (e) => e.error === 'invalid_client');
    await assert.rejects(stranger.revoke({ refresh_token: 'r' }), (e) => e.error === 'invalid_client');
    await assert.rejects(oauth({ access_token: 'x', refresh_token: 'r' }).revoke({ refresh_token: 'r' }), (e) => e.error === 'invalid_request');
    await assert.rejects(oauth().createToken(`${redirectUri}?code=false&state=st&realmId=${realm}`), (e) => e.error === 'invalid_grant');
    const r = await fetch(OAuthClient.tokenEndpoint, { method: 'POST', body: new URLSearchParams({ grant_type: 'password' }), headers: { authorization: 'Basic ' + Buffer.from(`${env.QBO_CLIENT_ID}:${env.QBO_CLIENT_SECRET}`).toString('base64') } });
    assert.strictEqual((await r.json()).error, 'unsupported_grant_type');
  });
  await check('the reader never noticed', async () => {
    await call(client(env.QBO_READER_TOKEN, 'none'), 'getCustomer', kept.customer.Id);
  });
}

// paced keeps the ordinary checks under ten requests a second; some make two.
function paced(names) {
  for (const name of names) {
    const real = qbo[name].bind(qbo);
    qbo[name] = (...args) => setTimeout(() => real(...args), 230);
  }
}

(async () => {
  const first = Object.getPrototypeOf(qbo);
  const unpaced = first.getCustomer;
  paced(Object.keys(first).filter((n) => /^(create|update|find|void|batch|changeData|delete|getC|getP|getI|getT|getV|getE|getA)/.test(n)));
  await company();
  await customers();
  await items();
  await invoices();
  await credits();
  await lists();
  qbo.getCustomer = unpaced;
  await many();
  await webhooks();
  await tokens();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
})();
