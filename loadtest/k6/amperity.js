// Single payloads by POST /stream/v0/data/<stream-id>, at a steady RATE a second whatever the answers take: 202 for each. STREAM is the
// stream's id, TOKEN an API key's, TENANT the project. Every payload has a mark of its own, so that the landed files tell whether each is
// there once.
import http from 'k6/http';
import exec from 'k6/execution';
import { accepted, base, bearer, holds, seconds, stream, users } from './lib.js';

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE || 100),
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: users,
      maxVUs: users,
      gracefulStop: '20s',
    },
  },
  // What k6 does not need to keep of every request costs it CPU that the server could have.
  discardResponseBodies: true,
  systemTags: ['status'],
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    events_accepted: ['count>0'],
    http_req_duration: [`p(99)<${__ENV.P99 || 5000}`],
    // Iterations that k6 could not begin in time are a rate that was not held.
    dropped_iterations: [`count<=${__ENV.DROPPED || 0}`],
  },
};

const params = {
  headers: Object.assign({ 'X-Amperity-Tenant': __ENV.TENANT || 'default', 'Content-Type': 'application/json' }, bearer),
};
const target = `${base}/stream/v0/data/${stream}`;

export default function () {
  const mark = `k6-${exec.vu.idInTest}-${exec.vu.iterationInInstance}`;
  const res = http.post(target, `{"mark":"${mark}","customer":{"id":"customer-17","tier":"gold"},"order":{"total":"12.50","lines":[{"sku":"sku-1","qty":2}]}}`, params);
  if (holds(res, { 'is 202': (r) => r.status === 202 })) {
    accepted.add(1);
  }
}
