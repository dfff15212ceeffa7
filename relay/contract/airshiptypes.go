package contract

import "strings"

// AirshipRef is the built-in contract of Airship's own events.
const AirshipRef = "airship/event/3.0.0"

// SchemaTypeAirship is the type of AirshipRef's schema, which no other contract can have: a table of the known types
// of events and of what their parts must have. Types and members that it does not name are taken as they are.
const SchemaTypeAirship = "AIRSHIP"

func airshipDefinition() Definition {
	return Definition{
		Ref: AirshipRef, SchemaType: SchemaTypeAirship, Schema: strings.TrimSpace(airshipSchema),
		Envelope: &Envelope{Type: "type", ID: "id", Occurred: "occurred", Device: "device", User: "user"},
	}
}

// airshipSchema is read by parseAirship. A line that begins with '@' names a list of members. One that begins with
// '%' is a kind of device. Every other line is a type of event, or with a '/' what is added for one value of the
// member of body that follows '?' in the type's own line, and where a ':' follows for one device type: the kinds of
// device it may come from, then the members of its body.
//
// Of members, '*' must be there, {…} is an object, […] a list of objects, [] a list of anything, :text a string, :flag
// true or false, which Airship also writes as strings, (A|B) one of these strings. What need not be there may be null.
const airshipSchema = `
@push   triggering_push{push_id*:text}
@last   last_delivered{push_id*:text}
@form   context{state{form{form_identifier*:text submitted*:flag} pager{identifier*:text page_count* page_identifier*:text page_index*}}}
@sms    identifiers*{msisdn*:text sender*:text}
@email  identifiers*{}
@browser attributes{push_opt_in* ua_sdk_version* web_browser_name* web_browser_type* web_browser_version* web_user_agent_string*}

%app        channel*:text device_type*(IOS|ANDROID|AMAZON)
%web        channel*:text device_type*(WEB) @browser
%plainweb   channel*:text device_type*(WEB)
%address    channel*:text device_type*(EMAIL|SMS)
%open       device_type(OPEN)
%person     named_user_id*:text
%inbox      delivery_address*:text device_type*(EMAIL)
%phone      device_type*(SMS) identifiers{sender*:text}
%clicker    channel*:text device_type*(SMS) identifiers{sender*:text}
%any        channel*:text device_type*(OPEN|WEB|ANDROID|IOS|AMAZON|EMAIL|SMS)

ATTRIBUTE_OPERATION        app web address open = remove[key*:text] set[key*:text value*]
CLOSE                      app =
COMPLIANCE?event_type      inbox phone = event_type*:text identifiers*{}
COMPLIANCE/rnd_scan                    = @sms properties*{action*(suppression_removed|uninstalled|none)}
COMPLIANCE/bounce:EMAIL                = @email properties*{}
COMPLIANCE/create_and_send:EMAIL       = identifiers*{address*:text} properties*{channel_registered*:flag}
COMPLIANCE/registration:EMAIL          = @email properties*{registration_type*:text}
COMPLIANCE/api_initiate_opt_in         = @sms
COMPLIANCE/carrier_deactivation        = @sms properties{action*(uninstalled|suppressed)}
COMPLIANCE/suppression_removed         = @sms properties*{source*:text}
COMPLIANCE/create_and_send:SMS         = @sms properties*{channel_registered*:flag}
COMPLIANCE/custom_keyword_response     = @sms properties*{}
COMPLIANCE/mobile_create_channel       = @sms properties*{}
COMPLIANCE/mobile_keyword_matched      = @sms properties*{}
COMPLIANCE/mobile_keyword_unmatched    = @sms properties*{}
COMPLIANCE/mobile_opt_in               = @sms properties*{}
COMPLIANCE/mobile_opt_out              = @sms properties*{}
COMPLIANCE/opted_out                   = @sms
COMPLIANCE/registration:SMS            = @sms properties*{opted_in* registration_type*(create|update)}
COMPLIANCE/uninstall                   = @sms
COMPLIANCE/mobile_terminated_message   = @sms
CONTACT_CHANGE             app = change_type:text
CONTROL                    app web =
CUSTOM?name                any person = name*:text @push @last properties{}
CUSTOM/delivery:EMAIL                  = properties*{} triggering_push*{push_id*:text}
CUSTOM/injection:EMAIL                 = properties*{} triggering_push*{push_id*:text}
CUSTOM/initial_open:EMAIL              = properties*{} triggering_push*{push_id*:text}
CUSTOM/delay:EMAIL                     = properties*{} triggering_push*{push_id*:text}
CUSTOM/bounce:EMAIL                    = properties*{} triggering_push*{push_id*:text}
CUSTOM/unsubscribe:EMAIL               = properties*{}
FEATURE_FLAG_INTERACTION   app web = eligible*:flag flag_id*:text flag_name*:text
FIRST_OPEN                 app web =
FIRST_OPT_IN               address open =
IN_APP_BUTTON_TAP          app = @form @push
IN_APP_EXPERIENCES         app = @push
IN_APP_FORM_DISPLAY        app = @form @push
IN_APP_FORM_RESULT         app = @form @push
IN_APP_MESSAGE_CONTROL     app = @push
IN_APP_MESSAGE_DISPLAY     app = @form @push
IN_APP_MESSAGE_EXCLUSION   app = @push
IN_APP_MESSAGE_EXPIRATION  = @push replacing_push{push_id*:text}
IN_APP_MESSAGE_RESOLUTION  app = @form @push
IN_APP_PAGE_SWIPE          app = @form @push
IN_APP_PAGE_VIEW           app = @form @push
IN_APP_PAGER_COMPLETED     app = @form @push
IN_APP_PAGER_SUMMARY       app = @form @push
LABEL_EVENT                = push_id*:text labels*[id* label*]
LOCATION                   app = foreground*:flag latitude* longitude*
MOBILE_ORIGINATED          phone = event_type*(mobile_originated_sms) @sms properties*{inbound_message* keyword* outbound_message*}
OPEN                       app = @push @last
PUSH_BODY                  = payload*:text resource*(PIPELINES|SCHEDULES|PUSH|EXPERIMENTS|IN_APP_AUTOMATION) trimmed*:flag
REGION                     app = action*(enter|exit) region_id*:text source_info*{}
RICH_CONTROL               app =
RICH_DELETE                app =
RICH_DELIVERY              app =
RICH_READ                  app =
SCREEN_VIEWED              app web =
SEND                       app web address open = push_id*:text
SEND_ABORTED               app = push_id*:text reason*:text
SEND_REJECTED              app = push_id*:text
SHORT_LINK_CLICK           clicker = push_id*:text properties*{original_url*:text}
SUBSCRIPTION               inbox = event_type*(registration|create_and_send|bounce|list_unsubscribe|link_unsubscribe|spam_complaint|out_of_band) identifiers*{} properties{} subscription_lists{}
SUBSCRIPTION_LIST          app plainweb address open person = canceled[] current[] enrolled[]
TAG_CHANGE                 app plainweb address open = add{} current{} remove{}
UNINSTALL                  app web = decay*:flag
WEB_CLICK                  web = push_id*:text
WEB_SESSION                web = @push @last
`
