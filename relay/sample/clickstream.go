package sample

import "strconv"

// SeedEvent is the event that the throughput figures are measured with: the documentation's click
// event with a valid url, indented, 434 bytes.
const SeedEvent = `{
    "strmMeta": {
        "eventContractRef": "strmprivacy/clickstream/1.0.0",
        "consentLevels": [
            0
        ]
    },
    "producerSessionId": "producer",
    "url": "https://www.example.com/pag",
    "eventType": "click",
    "referrer": "referrer-id",
    "userAgent": "p000-0000000000",
    "conversion": 0,
    "customer": {
        "id": "customer-id"
    },
    "abTests": [
        "a",
        "b"
    ]
}`

// seedLine is SeedEvent on one line without blanks.
const seedLine = `{"strmMeta":{"eventContractRef":"strmprivacy/clickstream/1.0.0","consentLevels":[0]},` +
	`"producerSessionId":"producer","url":"https://www.example.com/pag","eventType":"click","referrer":"referrer-id",` +
	`"userAgent":"p000-0000000000","conversion":0,"customer":{"id":"customer-id"},"abTests":["a","b"]}`

// seedPlaces are where the variable parts of a seed event lie. Each part keeps its length, so that
// all seed events are equally long.
type seedPlaces struct {
	text                      string
	session, customer, marker int
}

var (
	indented = findPlaces(SeedEvent)
	oneLine  = findPlaces(seedLine)
)

func findPlaces(text string) seedPlaces {
	return seedPlaces{text: text, session: find(text, `producer"`), customer: find(text, "customer-id"), marker: find(text, "p000-")}
}

func find(text, part string) int {
	for i := 0; i+len(part) <= len(text); i++ {
		if text[i:i+len(part)] == part {
			return i
		}
	}
	panic("sample: the seed event lacks " + part)
}

// Seed appends SeedEvent with one of the crowd's people in the place of the session and the customer
// and with the marker: indented, always 434 bytes.
func (g *Generator) Seed(dst []byte, m Marker) []byte { return g.seed(dst, &indented, m) }

// SeedLine is Seed on one line without blanks and without a newline, always equally long.
func (g *Generator) SeedLine(dst []byte, m Marker) []byte { return g.seed(dst, &oneLine, m) }

// SeedLineMarker is the place of the marker in what SeedLine appends.
func SeedLineMarker() int { return oneLine.marker }

// SeedMarker is the place of the marker in what Seed appends.
func SeedMarker() int { return indented.marker }

func (g *Generator) seed(dst []byte, p *seedPlaces, m Marker) []byte {
	start, person := len(dst), uint64(g.person())
	dst = append(dst, p.text...)
	at := func(place int) []byte { return dst[:start+place] }
	appendPadded(append(at(p.session), 's', '-'), person, 6)
	appendPadded(append(at(p.customer), "cust-"...), person, 6)
	m.Append(at(p.marker))
	return dst
}

var (
	pages = [...]string{
		"https://www.example.com", "https://www.example.com/cart?item=17&size=xl", "https://shop.example.org/a/b/c#top",
		"http://localhost:3000/~me/", "ftp://files.example.net/pub/list.txt", "https://example.com/search?q=100%25+wool|silk",
	}
	eventTypes = [...]string{"click", "view", "scroll", "add-to-cart", "purchase"}
	referrers  = [...]string{"https://news.example.com/", "newsletter-17", "", `the \"daily\" page`, "søk", "検索"}
	browsers   = [...]string{"Mozilla/5.0 (X11; Linux x86_64)", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", "curl/8.14"}
	tests      = [...]string{"a", "b", "new-checkout", "größe", `tab\ttest`}
)

// Clickstream appends a web click. Marker: userAgent. Personal: producerSessionId, the key field, and
// customer/id, the person.
func (g *Generator) Clickstream(dst []byte, m Marker) []byte {
	person := g.person()
	dst = g.meta(dst, ClickstreamRef)
	dst = append(dst, `,"producerSessionId":`...)
	dst = g.appendSession(dst, person)
	dst = append(dst, `,"url":"`...)
	dst = append(dst, g.pick(pages[:])...)
	dst = append(dst, `","eventType":"`...)
	dst = append(dst, g.pick(eventTypes[:])...)
	dst = append(dst, `","referrer":"`...)
	dst = append(dst, g.pick(referrers[:])...)
	dst = append(dst, `","userAgent":"`...)
	if m == (Marker{}) {
		dst = append(dst, g.pick(browsers[:])...)
	} else {
		dst = m.Append(dst)
	}
	dst = append(dst, `","conversion":`...)
	dst = strconv.AppendInt(dst, int64(g.rng.Int32N(2001))-1000, 10)
	dst = append(dst, `,"customer":{"id":`...)
	dst = g.appendPerson(dst, person)
	dst = append(dst, `},"abTests":[`...)
	for i := range g.rng.IntN(4) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, g.pick(tests[:])...)
		dst = append(dst, '"')
	}
	return append(dst, `]}`...)
}
