// Webhook receipt: users send events; a receiver (RECEIVER, its URL with counts; loadtest/receiver) gets them by a webhook of the stream,
// checks their signatures and keeps the ledger that is asked at the end. k6 cannot listen, so the receiver is not k6's.
// PATIENCE is how many seconds deliveries may take after the last event was sent.
import http from 'k6/http';
import exec from 'k6/execution';
import { arrived, base, bearer, closedLoop, holds, lost, sendBody, stream } from './lib.js';
import { sleep } from 'k6';

export const options = Object.assign(closedLoop({ events_arrived: ['count>0'] }), { teardownTimeout: '60s' });

const counts = () => http.get(__ENV.RECEIVER).json();

export default function () {
  const n = exec.vu.iterationInInstance;
  sendBody((i) => `hook-${exec.vu.idInTest}-${n}-${i}`);
  sleep(0.05);
}

// The metrics of other users are not seen from here: the log is asked how many events there are.
function stored() {
  let from = 'EARLIEST';
  let total = 0;
  for (;;) {
    const res = http.get(`${base}/v1/streams/${stream}/events?from=${from}&limit=10000&timeout=1ms&envelope=offset`, { headers: bearer });
    const lines = res.body.split('\n').filter((line) => line !== '');
    from = JSON.parse(lines[lines.length - 1]).offset;
    if (lines.length === 1) {
      return total;
    }
    total += lines.length - 1;
  }
}

export function teardown() {
  const want = stored();
  let got = counts();
  for (const end = Date.now() + Number(__ENV.PATIENCE || 40) * 1000; got.events < want && Date.now() < end; ) {
    sleep(0.1);
    got = counts();
  }
  sleep(0.3); // in which nothing more may come
  got = counts();
  arrived.add(got.events);
  lost.add(Math.max(0, want - got.events));
  holds({ status: JSON.stringify(got), body: `${want} stored` }, {
    'events were sent': () => want > 0,
    'everything arrived': () => got.events === want,
    'nothing doubled': () => got.doubled === 0 && got.repeats === 0,
    'signatures and bodies hold': () => got.faults === 0,
  });
}
