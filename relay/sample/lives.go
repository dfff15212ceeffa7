package sample

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// Lives makes up events of the built-in contract airship/event/3.0.0: the lives of mobile users and of those who are
// reached in browsers, by mail and by text message, from the first open to the day they uninstall. Unlike a Generator
// it allocates, for nobody needs many of its events.
//
// Users come in cohorts whose lives interleave; each cohort has events of every type. What a cohort does follows from
// the seed and its number alone, so that a Lives can be put where another of its seed ended. One goroutine at a time.
type Lives struct {
	seed   uint64
	cohort uint64
	index  int // of the next event in the cohort
	events []lived
}

// lived is an event without its time.
type lived struct {
	airshipEvent
	late time.Duration // how long before it arrives it occurred
}

// airshipEvent is an event as it is sent, its members in the order in which Airship shows them.
type airshipEvent struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	Occurred     string `json:"occurred"`
	Device       any    `json:"device,omitempty"`
	User         any    `json:"user,omitempty"`
	Body         any    `json:"body,omitempty"`
	ExperimentID string `json:"experiment_id,omitempty"`
}

// object is a JSON object; encoding/json writes its members sorted, so the same object is the same text.
type object = map[string]any

// NewLives gives the lives of a seed from their beginning.
func NewLives(seed uint64) *Lives { return &Lives{seed: seed} }

// Place says where the next event is; Resume goes on there.
type Place [16]byte

// Place is that of the event that Next will make.
func (l *Lives) Place() (p Place) {
	binary.BigEndian.PutUint64(p[:], l.seed)
	binary.BigEndian.PutUint64(p[8:], l.cohort<<16|uint64(l.index))
	return p
}

// Resume goes on at a place of the same seed, and tells whether it was one.
func (l *Lives) Resume(p Place) bool {
	if binary.BigEndian.Uint64(p[:]) != l.seed {
		return false
	}
	at := binary.BigEndian.Uint64(p[8:])
	l.cohort, l.index, l.events = at>>16, int(at&0xffff), nil
	return true
}

// Next appends the next event, one compact JSON object without a newline, as if it arrived now.
func (l *Lives) Next(dst []byte, now time.Time) []byte {
	if l.events == nil {
		l.events = live(l.seed, l.cohort)
	}
	if l.index >= len(l.events) {
		l.cohort, l.index = l.cohort+1, 0
		l.events = live(l.seed, l.cohort)
	}
	e := l.events[l.index]
	l.index++
	e.Occurred = now.Add(-e.late).UTC().Format("2006-01-02T15:04:05.000Z")
	text, err := json.Marshal(e.airshipEvent)
	if err != nil {
		panic(err) // texts, numbers and objects of these
	}
	return append(dst, text...)
}

// cohort is what the users of a cohort have in common: the campaigns that reach them.
type cohort struct {
	rng    *rand.Rand
	number uint64
	pushes []push
	lists  []string
	flag   string
}

// push is a message to many.
type push struct{ id, group, variant string }

// user is one user with one device, and the life they lead.
type user struct {
	*cohort
	device  object
	contact object
	session string
	n       int // of the cohort's app users: what others do by chance some do for sure, so that all types come up
	life    []lived
}

// live makes the events of a cohort, each user's in their order.
func live(seed, number uint64) []lived {
	c := &cohort{rng: rand.New(rand.NewPCG(seed, number)), number: number, lists: []string{"weekly_news", "offers"}, flag: "new-checkout"}
	for range 3 {
		c.pushes = append(c.pushes, push{id: c.uuid(), group: c.uuid(), variant: fmt.Sprint(c.rng.IntN(3))})
	}
	lives := [][]lived{c.campaigns()}
	for n, platform := range []string{"IOS", "ANDROID", "IOS", "ANDROID", "AMAZON"} {
		lives = append(lives, c.appUser(platform, n))
	}
	lives = append(lives, c.visitor(), c.reader(), c.texter(), c.speaker())
	var all []lived
	for left := lives; len(left) > 0; {
		i := c.rng.IntN(len(left))
		e := left[i][0]
		e.ID = c.uuid()
		all = append(all, e)
		if left[i] = left[i][1:]; len(left[i]) == 0 {
			left[i] = left[len(left)-1]
			left = left[:len(left)-1]
		}
	}
	return all
}

// uuid makes a version 4 UUID of the cohort's chance.
func (c *cohort) uuid() string {
	a, b := c.rng.Uint64(), c.rng.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>50|0x8000, b&(1<<48-1))
}

func (c *cohort) pick(from ...string) string { return from[c.rng.IntN(len(from))] }

// chance is true once in n times.
func (c *cohort) chance(n int) bool { return c.rng.IntN(n) == 0 }

// lateness is how long an event took to arrive: moments, or hours from a device that had no network.
func (c *cohort) lateness() time.Duration {
	if c.chance(25) {
		return time.Duration(1+c.rng.IntN(48*60)) * time.Minute
	}
	return time.Duration(c.rng.IntN(3000)) * time.Millisecond
}

// reach is how an event names the push that brought it about.
func (p push) reach() object {
	return object{"push_id": p.id, "group_id": p.group, "variant_id": p.variant, "campaigns": object{"categories": []string{"spring"}}}
}

func (c *cohort) push() push { return c.pushes[c.rng.IntN(len(c.pushes))] }

// campaigns are the messages themselves, which come from nobody's device.
func (c *cohort) campaigns() (life []lived) {
	for i, p := range c.pushes {
		body := p.reach()
		delete(body, "variant_id")
		body["payload"], body["trimmed"] = "eyJhdWRpZW5jZSI6ImFsbCIsIm5vdGlmaWNhdGlvbiI6eyJhbGVydCI6IkhlbGxvIn19", false
		body["resource"] = []string{"PUSH", "PIPELINES", "IN_APP_AUTOMATION"}[i]
		life = append(life, lived{airshipEvent: airshipEvent{Type: "PUSH_BODY", Body: body}})
	}
	p := c.pushes[0]
	life = append(life, lived{airshipEvent: airshipEvent{Type: "LABEL_EVENT", Body: object{
		"push_id": p.id, "group_id": p.group, "labels": []object{{"id": "l-1", "label": "spring sale"}},
	}}})
	return append(life, lived{airshipEvent: airshipEvent{Type: "IN_APP_MESSAGE_EXPIRATION", Body: object{
		"push_id": p.id, "group_id": p.group, "type": c.pick("REPLACED", "EXPIRED", "ALREADY_DISPLAYED"), "triggering_push": c.pushes[1].reach(),
	}}})
}

// does adds an event to the user's life, for types whose events name the contact.
func (u *user) does(kind string, body object) {
	u.life = append(u.life, lived{airshipEvent: airshipEvent{Type: kind, Device: nothingIs(u.device), User: u.contact, Body: nothingIs(body)}, late: u.lateness()})
}

// alone is does for types whose events say nothing of the contact.
func (u *user) alone(kind string, body object) {
	u.life = append(u.life, lived{airshipEvent: airshipEvent{Type: kind, Device: nothingIs(u.device), Body: nothingIs(body)}, late: u.lateness()})
}

// nothingIs keeps a nil object out of the event; in an interface it would be null.
func nothingIs(o object) any {
	if o == nil {
		return nil
	}
	return o
}
