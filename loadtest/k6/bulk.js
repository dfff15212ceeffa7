// Many events in a body by POST /v1/streams/{stream}/events: all are accepted; a body with a line that its contract forbids says which.
import http from 'k6/http';
import exec from 'k6/execution';
import { accepted, base, bearer, closedLoop, event, holds, stream } from './lib.js';

export const options = closedLoop({ events_accepted: ['count>0'] });

const lines = 100;

export default function () {
  const n = exec.vu.iterationInInstance;
  const broken = n % 10 === 9;
  const body = [];
  for (let i = 0; i < lines; i++) {
    const e = event(`bulk-${exec.vu.idInTest}-${n}-${i}`, i);
    if (broken && i === 41) {
      e.url = 'nowhere';
    }
    body.push(JSON.stringify(e));
  }
  const res = http.post(`${base}/v1/streams/${stream}/events`, body.join('\n'), {
    headers: Object.assign({ 'Content-Type': 'application/x-ndjson' }, bearer),
  });
  const good = holds(res, {
    'is 200': (r) => r.status === 200,
    'tells what was accepted': (r) => r.json('accepted') === (broken ? lines - 1 : lines),
    'tells what was rejected': (r) => r.json('rejected') === (broken ? 1 : 0),
    'names the line': (r) => !broken || r.json('errors.0.line') === 42,
  });
  if (good) {
    accepted.add(broken ? lines - 1 : lines);
  }
}
