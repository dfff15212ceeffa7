// Reading by long poll: k6 cannot read an endless body, and limit and timeout give it an end. The first user sends, the others read from
// where the stream stood before and go on behind the offset of the last line, until they have everything: once and in order.
import http from 'k6/http';
import exec from 'k6/execution';
import { base, bearer, complete, holds, onceEach, position, seconds, send, sent, stream } from './lib.js';

export const options = onceEach({ events_arrived: ['count>0'] });

export const setup = position;

const most = 70;

function read(from) {
  const want = sent().length;
  const got = [];
  const end = Date.now() + (seconds + 40) * 1000;
  while (got.length < want && Date.now() < end) {
    const res = http.get(`${base}/v1/streams/${stream}/events?from=${from}&limit=${most}&timeout=2s&envelope=offset`, { headers: bearer });
    const lines = res.body.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
    const last = lines.pop();
    const good = holds(res, {
      'is 200': (r) => r.status === 200,
      'keeps its limit': () => lines.length <= most,
      'says where to go on': () => last && last.type === 'OFFSET_UPDATE' && last.offset > '',
    });
    if (!good) {
      complete(got, 'an answer was not as it has to be');
      return;
    }
    for (const line of lines) {
      got.push(line.event.userAgent);
    }
    from = last.offset;
  }
  complete(got, '');
}

export default function (from) {
  if (exec.vu.idInTest === 1) {
    send();
    return;
  }
  read(from);
}
