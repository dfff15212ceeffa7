package filter

// eventTypes are the types of Airship's events.
var eventTypes = set(
	"ATTRIBUTE_OPERATION", "CLOSE", "COMPLIANCE", "CONTACT_CHANGE", "CONTROL", "CUSTOM",
	"FEATURE_FLAG_INTERACTION", "FIRST_OPEN", "FIRST_OPT_IN",
	"IN_APP_BUTTON_TAP", "IN_APP_EXPERIENCES", "IN_APP_FORM_DISPLAY", "IN_APP_FORM_RESULT",
	"IN_APP_MESSAGE_CONTROL", "IN_APP_MESSAGE_DISPLAY", "IN_APP_MESSAGE_EXCLUSION",
	"IN_APP_MESSAGE_EXPIRATION", "IN_APP_MESSAGE_RESOLUTION",
	"IN_APP_PAGE_SWIPE", "IN_APP_PAGE_VIEW", "IN_APP_PAGER_COMPLETED", "IN_APP_PAGER_SUMMARY",
	"LABEL_EVENT", "LOCATION", "MOBILE_ORIGINATED", "OPEN", "PUSH_BODY", "REGION",
	"RICH_CONTROL", "RICH_DELETE", "RICH_DELIVERY", "RICH_READ", "SCREEN_VIEWED",
	"SEND", "SEND_ABORTED", "SEND_REJECTED", "SHORT_LINK_CLICK", "SUBSCRIPTION", "SUBSCRIPTION_LIST",
	"TAG_CHANGE", "UNINSTALL", "WEB_CLICK", "WEB_SESSION",
)

// TypeCompliance is the type of the events that the compliance endpoint shows.
const TypeCompliance = "COMPLIANCE"

// typeOffsetUpdate is what no event of a stream has: each connection makes its own.
const typeOffsetUpdate = "OFFSET_UPDATE"

// deviceTypes are the device types as requests write them.
var deviceTypes = set("android", "ios", "amazon", "web", "email", "sms", "open")

// complianceDeviceTypes are those that have compliance events.
var complianceDeviceTypes = set("email", "sms")

func set(all ...string) map[string]bool {
	m := make(map[string]bool, len(all))
	for _, s := range all {
		m[s] = true
	}
	return m
}
