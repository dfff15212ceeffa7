package registry

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"sluice/auth"
	"sluice/relay/engine"
)

// User is a person who manages one project. Immutable.
type User struct {
	Project *Project
	ID      string // user-<uuid>
	Email   string // as it was given; whatever its case, there is one user of it in all projects
	Created time.Time

	record *userRecord
}

// UserPatch says what to change; nil leaves a member as it is.
type UserPatch struct {
	Email    *string
	Password *string // ends all tokens of the user
}

// Session is a user's access token and what it was got by. It is shown this once.
type Session struct {
	User   *User
	Tokens auth.Issued
}

const (
	kindUser = "user" // .<id>: userRecord
	kindMail = "mail" // .<e-mail in lower case>: pointer

	userPrefix = "user-"
	maxUsers   = 10_000 // of one project
	maxEmail   = 254    // bytes: RFC 5321 lets no longer one through
)

func userKey(id string) string    { return cellKey(kindUser, id) }
func mailKey(email string) string { return cellKey(kindMail, escaped(mailKeyOf(email))) }

// mailKeyOf is what makes an address the same as another. Strictly only the domain's case means nothing, but no provider keeps to that and
// people do not know how they once typed it.
func mailKeyOf(email string) string { return strings.ToLower(email) }

type userRecord struct {
	Version  int    `json:"v"`
	ID       string `json:"id"`
	Project  string `json:"project"`
	Email    string `json:"email"`
	Password string `json:"password"` // Argon2id, in the PHC string format
	// Session is the version that tokens are issued for; it counts up when they are to end.
	Session int64 `json:"session"`
	Created int64 `json:"created"`
}

func checkEmail(email string) error {
	parsed, err := mail.ParseAddress(email)
	switch {
	case email == "":
		return &Invalid{"email", "is missing"}
	case len(email) > maxEmail || err != nil || parsed.Address != email || !printable(email):
		return &Invalid{"email", "is not an e-mail address"}
	}
	return nil
}

func checkPassword(password string) error {
	if err := auth.CheckPassword(password); err != nil {
		return &Invalid{"password", err.Error()}
	}
	return nil
}

// UserByID gives the user of that id, nil if there is none.
func (s *Snapshot) UserByID(id string) *User { return s.users.get(id) }

// User gives a project's user by id or e-mail, nil if the project is nil or has none.
func (s *Snapshot) User(p *Project, name string) *User {
	if p == nil {
		return nil
	}
	u := s.users.get(name)
	if u == nil {
		u = s.mails.get(mailKeyOf(name))
	}
	if u == nil || u.Project.ID != p.ID {
		return nil
	}
	return u
}

// Users gives a project's users by e-mail.
func (s *Snapshot) Users(p *Project) []*User {
	var all []*User
	for _, u := range s.users.all() {
		if p != nil && u.Project.ID == p.ID {
			all = append(all, u)
		}
	}
	slices.SortFunc(all, func(a, b *User) int { return strings.Compare(mailKeyOf(a.Email), mailKeyOf(b.Email)) })
	return all
}

// FindUser is Snapshot.User that asks the store before it says that there is none.
func (r *Registry) FindUser(ctx context.Context, p *Project, name string) *User {
	if u := r.Snapshot().User(p, name); u != nil || p == nil || len(name) > maxAskedName {
		return u
	}
	if strings.HasPrefix(name, userPrefix) && checkToken(name) {
		r.lookUp(ctx, userKey(name))
	} else {
		r.lookUp(ctx, mailKey(name))
	}
	return r.Snapshot().User(p, name)
}

// CreateUser makes a user of a project. Errors: *Invalid, ErrExists where there is one of that address, in whatever project, *InUse where there
// are too many, auth.ErrLoginsBusy, ErrNotFound where the project is gone.
func (r *Registry) CreateUser(ctx context.Context, p *Project, email, password string) (*User, error) {
	if p == nil {
		return nil, ErrNotFound
	}
	if err := checkEmail(email); err != nil {
		return nil, err
	}
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	hash, err := r.passwords.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	record := &userRecord{
		Version: recordVersion, ID: userPrefix + uuid.NewString(), Project: p.ID, Email: email, Password: hash, Session: 1,
		Created: r.now().UnixMilli(),
	}
	noteMade(ctx, record.ID)
	err = r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		project := s.ProjectByID(p.ID)
		if project == nil {
			return nil, ErrNotFound
		}
		if at[mailKey(email)] != 0 {
			return nil, ErrExists
		}
		if len(s.Users(project)) >= maxUsers {
			return nil, &InUse{fmt.Sprintf("Project %s has %d users, which is as many as it may have; delete one first", project.Name, maxUsers)}
		}
		return []engine.Write{
			{Key: userKey(record.ID), Value: encode(record)},
			// A fence: who deletes the project at this moment finds another revision, or this batch does.
			{Key: projectKey(p.ID), Value: encode(project.record), Revision: at[projectKey(p.ID)]},
			{Key: mailKey(email), Value: encode(&pointer{Version: recordVersion, ID: record.ID})},
		}, nil
	})
	if err != nil {
		return nil, err
	}
	if u := r.Snapshot().UserByID(record.ID); u != nil {
		return u, nil
	}
	return nil, ErrNotFound // somebody deleted it while we looked
}

// UpdateUser changes a user. Errors: *Invalid, ErrExists, auth.ErrLoginsBusy, ErrNotFound.
func (r *Registry) UpdateUser(ctx context.Context, id string, patch UserPatch) (*User, error) {
	hash := ""
	if patch.Email != nil {
		if err := checkEmail(*patch.Email); err != nil {
			return nil, err
		}
	}
	if patch.Password != nil {
		if err := checkPassword(*patch.Password); err != nil {
			return nil, err
		}
		var err error
		if hash, err = r.passwords.Hash(ctx, *patch.Password); err != nil {
			return nil, err
		}
	}
	return r.changeUser(ctx, id, func(at revisions, record *userRecord) ([]engine.Write, error) {
		if hash != "" {
			record.Password = hash
			record.Session++
		}
		if patch.Email == nil {
			return nil, nil
		}
		from, to := mailKey(record.Email), mailKey(*patch.Email)
		record.Email = *patch.Email
		switch {
		case from == to:
			return nil, nil
		case at[to] != 0:
			return nil, ErrExists
		}
		return append(erasing(at, from), engine.Write{Key: to, Value: encode(&pointer{Version: recordVersion, ID: id})}), nil
	})
}

// changeUser changes a record; do may give further writes.
func (r *Registry) changeUser(ctx context.Context, id string, do func(at revisions, record *userRecord) ([]engine.Write, error)) (*User, error) {
	noteEntity(ctx, id)
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		u := s.UserByID(id)
		if u == nil {
			return nil, ErrNotFound
		}
		changed := *u.record
		more, err := do(at, &changed)
		if err != nil {
			return nil, err
		}
		return append([]engine.Write{{Key: userKey(id), Value: encode(&changed), Revision: at[userKey(id)]}}, more...), nil
	})
	if err != nil {
		return nil, err
	}
	if u := r.Snapshot().UserByID(id); u != nil {
		return u, nil
	}
	return nil, ErrNotFound
}

// DeleteUser deletes a user; all their tokens end. Errors: ErrNotFound.
func (r *Registry) DeleteUser(ctx context.Context, id string) (*User, error) {
	noteEntity(ctx, id)
	var gone *User
	err := r.change(ctx, func(s *Snapshot, at revisions) ([]engine.Write, error) {
		if gone = s.UserByID(id); gone == nil {
			return nil, ErrNotFound
		}
		return erasing(at, userKey(id), mailKey(gone.Email)), nil
	})
	return gone, err
}

// EndSessions ends all tokens of a user, wherever they logged in. Errors: ErrNotFound.
func (r *Registry) EndSessions(ctx context.Context, id string) error {
	_, err := r.changeUser(ctx, id, func(_ revisions, record *userRecord) ([]engine.Write, error) {
		record.Session++
		return nil, nil
	})
	return err
}

// Login gives a session for an e-mail address and its password. auth.ErrInvalid where they do not fit, whichever is wrong and after the same
// time; auth.ErrLoginsBusy.
func (r *Registry) Login(ctx context.Context, email, password string) (Session, error) {
	u := r.Snapshot().mails.get(mailKeyOf(email))
	if u == nil && len(email) <= maxEmail {
		r.lookUp(ctx, mailKey(email))
		u = r.Snapshot().mails.get(mailKeyOf(email))
	}
	hash := ""
	if u != nil {
		hash = u.record.Password
	}
	fits, err := r.passwords.Verify(ctx, hash, password)
	switch {
	case err != nil:
		return Session{}, err
	case !fits:
		return Session{}, auth.ErrInvalid
	}
	return r.session(ctx, u)
}

// Resume gives a new session for the refresh token of one. auth.ErrMissing, ErrExpired or ErrInvalid.
func (r *Registry) Resume(ctx context.Context, refreshToken string) (Session, error) {
	claims, err := r.tokens.RefreshClaims(ctx, refreshToken)
	if err != nil {
		return Session{}, err
	}
	u := r.findUserByID(ctx, claims.ClientID)
	if u == nil || claims.Version != u.record.Session {
		return Session{}, auth.ErrInvalid
	}
	return r.session(ctx, u)
}

func (r *Registry) session(ctx context.Context, u *User) (Session, error) {
	issued, err := r.tokens.Grant(ctx, auth.Grant{ClientID: u.ID, Version: u.record.Session, Tenant: u.Project.Name, Refresh: true})
	if err != nil {
		return Session{}, err
	}
	return Session{User: u, Tokens: issued}, nil
}

// findUserByID is UserByID that asks the store before it says that there is none.
func (r *Registry) findUserByID(ctx context.Context, id string) *User {
	if u := r.Snapshot().UserByID(id); u != nil || !strings.HasPrefix(id, userPrefix) || !checkToken(id) {
		return u
	}
	r.lookUp(ctx, userKey(id))
	return r.Snapshot().UserByID(id)
}

// StreamSession is what clients of 2021 exchange their stream's credentials for. The billing id has to be that of the stream's project.
// auth.ErrInvalid where anything does not fit.
func (r *Registry) StreamSession(ctx context.Context, billingID, clientID, secret string) (auth.Issued, error) {
	if !r.Client(clientID, secret) {
		return auth.Issued{}, auth.ErrInvalid
	}
	st := r.Snapshot().StreamByClient(clientID)
	if st == nil || st.Project.BillingID != billingID {
		return auth.Issued{}, auth.ErrInvalid
	}
	return r.tokens.Issue(ctx, clientID)
}

// ResumeStream gives new tokens for the refresh token of a stream's client. auth.ErrMissing, ErrExpired or ErrInvalid.
func (r *Registry) ResumeStream(ctx context.Context, refreshToken string) (auth.Issued, error) {
	clientID, err := r.tokens.Refresh(ctx, refreshToken)
	if err != nil {
		return auth.Issued{}, err
	}
	if r.FindClient(ctx, clientID) == nil {
		return auth.Issued{}, auth.ErrInvalid
	}
	return r.tokens.Issue(ctx, clientID)
}

// NotLetIn tells whether an error says that a caller did not prove who it is.
func NotLetIn(err error) bool {
	return errors.Is(err, auth.ErrMissing) || errors.Is(err, auth.ErrExpired) || errors.Is(err, auth.ErrInvalid)
}
