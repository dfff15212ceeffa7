// Websockets: the first user sends, the others read /ws from where the stream stood before. Everyone gets everything, once and in order.
import exec from 'k6/execution';
import { WebSocket } from 'k6/websockets';
import { base, bearer, complete, onceEach, position, seconds, send, sent } from './lib.js';

export const options = onceEach({ events_arrived: ['count>0'] });

export const setup = position;

function read(from) {
  const want = sent().length;
  const got = [];
  let over = false;
  const ws = new WebSocket(`${base.replace('http', 'ws')}/ws?from=${from}`, null, { headers: bearer });
  const finish = (trouble) => {
    if (over) {
      return;
    }
    over = true;
    clearTimeout(late);
    ws.close();
    complete(got, trouble);
  };
  const late = setTimeout(() => finish(''), (seconds + 40) * 1000);
  ws.onmessage = (message) => {
    got.push(JSON.parse(message.data).userAgent);
    if (got.length === want) {
      setTimeout(() => finish(''), 300); // in which nothing more may come
    }
  };
  ws.onerror = (e) => finish(String(e.error));
  ws.onclose = () => finish('the server closed it');
}

export default function (from) {
  if (exec.vu.idInTest === 1) {
    send();
    return;
  }
  read(from);
}
