// Single events by POST /event, one after the other by each user: 204 for each.
import http from 'k6/http';
import exec from 'k6/execution';
import { accepted, base, bearer, closedLoop, event, holds, ref } from './lib.js';

export const options = closedLoop({ events_accepted: ['count>0'], http_req_duration: ['p(99)<5000'] });

const headers = Object.assign({ 'Strm-Schema-Ref': ref, 'Content-Type': 'application/json' }, bearer);

export default function () {
  const n = exec.vu.iterationInInstance;
  const res = http.post(`${base}/event`, JSON.stringify(event(`single-${exec.vu.idInTest}-${n}`, n % 100)), { headers });
  if (holds(res, { 'is 204': (r) => r.status === 204, 'has no body': (r) => !r.body })) {
    accepted.add(1);
  }
}
