// What the scenarios share. Everything they need comes in through the environment: BASE (http://host:port), STREAM, TOKEN (of the stream's
// own credentials), SECONDS and USERS.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { Counter } from 'k6/metrics';

export const base = __ENV.BASE;
export const stream = __ENV.STREAM;
export const bearer = { Authorization: `Bearer ${__ENV.TOKEN}` };
export const ref = 'strmprivacy/clickstream/1.0.0';
export const seconds = Number(__ENV.SECONDS || 10);
export const users = Number(__ENV.USERS || 10);

// accepted counts the events the server has acknowledged, arrived those a reader or receiver got, lost what is missing.
export const accepted = new Counter('events_accepted');
export const arrived = new Counter('events_arrived');
export const lost = new Counter('events_lost');

// options for a scenario of users in a closed loop: every check must hold and nothing may be lost.
export function closedLoop(extra) {
  return {
    vus: users,
    duration: `${seconds}s`,
    gracefulStop: '20s',
    thresholds: Object.assign({ checks: ['rate==1'], events_lost: ['count==0'], http_req_failed: ['rate==0'] }, extra),
  };
}

// onceEach is for scenarios in which every user goes through their part once.
export function onceEach(extra) {
  const options = closedLoop(extra);
  delete options.vus;
  delete options.duration;
  delete options.gracefulStop;
  options.scenarios = { once: { executor: 'per-vu-iterations', vus: users, iterations: 1, maxDuration: `${seconds + 60}s` } };
  return options;
}

// event is a click; mark tells it from every other one.
export function event(mark, person) {
  return {
    strmMeta: { eventContractRef: ref, consentLevels: [0, 1, 2] },
    producerSessionId: `session-${person}`,
    url: 'https://www.example.com/page',
    eventType: 'click',
    referrer: '',
    userAgent: mark,
    conversion: 0,
    customer: { id: `customer-${person}` },
    abTests: ['a', 'b'],
  };
}

// holds is check, and prints what did not hold: k6 itself only counts.
export function holds(response, conditions) {
  const good = check(response, conditions);
  if (!good) {
    console.error(`a check failed: status ${response.status} ${String(response.body).slice(0, 200)}`);
  }
  return good;
}

// position is where the stream stands now: an offset to read on from.
export function position() {
  const res = http.get(`${base}/v1/streams/${stream}/events?from=LATEST&limit=1&timeout=1ms&envelope=offset`, { headers: bearer });
  holds(res, { 'tells where the stream stands': (r) => r.status === 200 && JSON.parse(r.body.trim()).type === 'OFFSET_UPDATE' });
  return JSON.parse(res.body.trim()).offset;
}

// What one user sends while others read: some bodies a second, each event with a mark of its own.
const perBody = 20;
const bodies = seconds * 5;
const mark = (n, i) => `sent-${String(n).padStart(6, '0')}-${i}`;

// sent are the marks in the order of sending.
export function sent() {
  const all = [];
  for (let n = 0; n < bodies; n++) {
    for (let i = 0; i < perBody; i++) {
      all.push(mark(n, i));
    }
  }
  return all;
}

export function send() {
  for (let n = 0; n < bodies; n++) {
    sendBody((i) => mark(n, i));
    sleep(0.2);
  }
}

// sendBody posts one body of events with these marks.
export function sendBody(markOf) {
  const body = [];
  for (let i = 0; i < perBody; i++) {
    body.push(JSON.stringify(event(markOf(i), i)));
  }
  const res = http.post(`${base}/v1/streams/${stream}/events`, body.join('\n'), { headers: bearer });
  if (holds(res, { 'all accepted': (r) => r.status === 200 && r.json('accepted') === perBody })) {
    accepted.add(perBody);
  }
}

// complete counts what arrived of what was sent, and holds it to be all of it, once and in order. trouble is empty where there was none.
export function complete(got, trouble) {
  const want = sent();
  const seen = {};
  let twice = 0;
  for (const m of got) {
    twice += seen[m] ? 1 : 0;
    seen[m] = true;
  }
  const missing = want.filter((m) => !seen[m]).length;
  arrived.add(got.length);
  lost.add(missing);
  holds({ status: `${missing} missing, ${twice} twice`, body: trouble }, {
    'was not cut off': () => trouble === '',
    'nothing doubled': () => twice === 0,
    'in order': () => want.every((m, i) => m === got[i]),
  });
}
