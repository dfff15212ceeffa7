// Single payloads by POST /stream/v0/data/<stream-id>, at a steady RATE a second whatever the answers take: 202 for each. STREAM is the
// stream's id, TOKEN an API key's, TENANT the project. Every payload has a mark of its own, so that the landed files tell whether each is
// there once.
//
// Where k6 and the server share a machine, what k6 uses is what the server lacks. So every user sends all of their payloads in one
// iteration and keeps the pace by themselves, answers are compared instead of checked, and no sample has a tag: a third of the CPU for a
// request that the executor for constant rates, checks and the usual tags take.
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Counter } from 'k6/metrics';
import { accepted, base, bearer, seconds, stream, users } from './lib.js';

const refused = new Counter('events_refused');
// late counts the payloads that nobody was free to send within a second of their time: with any, the rate was not held. Less than
// that is no measure of it: a user's last payload is due one turn, some milliseconds, before the end, and waits for the answer before.
const late = new Counter('events_late');
const patience = 1000; // ms

http.setResponseCallback(null); // no sample for whether the status was expected: it is looked at here

export const options = {
  scenarios: {
    steady: { executor: 'per-vu-iterations', vus: users, iterations: 1, maxDuration: `${seconds + 60}s` },
  },
  discardResponseBodies: true,
  systemTags: [],
  maxRedirects: 0,
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    events_accepted: ['count>0'],
    events_refused: ['count==0'],
    events_late: [`count<=${__ENV.LATE || 0}`],
    http_req_duration: [`p(99)<${__ENV.P99 || 5000}`],
  },
};

const params = {
  headers: Object.assign({ 'X-Amperity-Tenant': __ENV.TENANT || 'default', 'Content-Type': 'application/json' }, bearer),
  timeout: '30s',
};
const target = `${base}/stream/v0/data/${stream}`;
const mine = Number(__ENV.RATE || 100) / users; // payloads a second of one user
const rest = '","customer":{"id":"customer-17","tier":"gold"},"order":{"total":"12.50","lines":[{"sku":"sku-1","qty":2}]}}';

export default function () {
  const user = exec.vu.idInTest;
  const begun = exec.scenario.startTime + (1000 / mine) * (user / users); // not all at the same moment
  const end = begun + 1000 * seconds + patience;
  const all = Math.round(mine * seconds);
  let good = 0;
  let bad = 0;
  let n = 0;
  for (; n < all; n++) {
    const now = Date.now();
    const due = begun + (1000 * n) / mine;
    if (now > end) {
      break;
    }
    if (due > now) {
      sleep((due - now) / 1000);
    }
    const res = http.post(target, `{"mark":"k6-${user}-${n}${rest}`, params);
    if (res.status === 202) {
      good++;
    } else if (bad++ === 0) {
      console.error(`not accepted: status ${res.status} ${res.error}`);
    }
  }
  accepted.add(good);
  refused.add(bad);
  late.add(all - n);
}
