package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"sluice/auth"
	"sluice/relay/registry"
)

// manageUser is a user as it is shown.
type manageUser struct {
	ID        string    `json:"id" example:"user-4d1f2c3e-8a57-4f7e-9d3c-0a1b2c3d4e5f"`
	Email     string    `json:"email" format:"email" example:"bart@example.com"`
	Project   string    `json:"project" example:"default" doc:"The project they manage."`
	BillingID string    `json:"billingId" example:"default0123456789"`
	CreatedAt time.Time `json:"createdAt"`
}

type manageNewUserIn struct {
	ManageScope
	Body struct {
		Email    string `json:"email" example:"bart@example.com" doc:"Whatever its case, there is one user of it in all projects."`
		Password string `json:"password" doc:"8 or more characters."`
	} `nameHint:"NewUser"`
}

// ManageUserName is a user in the path.
type ManageUserName struct {
	ManageScope
	User string `path:"user" example:"bart@example.com" doc:"The user's e-mail address or id."`
}

type managePatchUserIn struct {
	ManageUserName
	Body struct {
		Email    *string `json:"email,omitempty"`
		Password *string `json:"password,omitempty" doc:"A new one ends all sessions of the user."`
	} `nameHint:"UserPatch"`
}

type manageListUsersIn struct{ ManageScope }

type manageUserOut struct{ Body manageUser }

type manageUsersOut struct {
	Body []manageUser `nullable:"false"`
}

func (m *manageAPI) registerUsers(api huma.API) {
	const all, one = "/v1/users", "/v1/users/{user}"
	tags := []string{"users"}
	manageRegister(m, api, huma.Operation{
		OperationID: "list-users", Method: http.MethodGet, Path: all, Tags: tags, Summary: "List the users of a project, by e-mail address",
	}, m.listUsers)
	manageRegister(m, api, huma.Operation{
		OperationID: "create-user", Method: http.MethodPost, Path: all, Tags: tags, DefaultStatus: http.StatusCreated,
		Summary: "Create a user, who may do everything in the project",
	}, m.createUser)
	manageRegister(m, api, huma.Operation{
		OperationID: "get-user", Method: http.MethodGet, Path: one, Tags: tags, Summary: "Get a user",
	}, m.getUser)
	manageRegister(m, api, huma.Operation{
		OperationID: "update-user", Method: http.MethodPatch, Path: one, Tags: tags, Summary: "Change a user's e-mail address or password",
	}, m.updateUser)
	manageRegister(m, api, huma.Operation{
		OperationID: "delete-user", Method: http.MethodDelete, Path: one, Tags: tags, Summary: "Delete a user; all their tokens end",
	}, m.deleteUser)
}

func manageShowUser(u *registry.User) manageUser {
	return manageUser{ID: u.ID, Email: u.Email, Project: u.Project.Name, BillingID: u.Project.BillingID, CreatedAt: u.Created.UTC()}
}

// user finds a user of the project by e-mail address or id.
func (m *manageAPI) user(ctx context.Context, in *ManageUserName) (*registry.User, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	u := m.reg.FindUser(ctx, p, in.User)
	if u == nil {
		return nil, manageNotFound("User", in.User)
	}
	return u, nil
}

func (m *manageAPI) listUsers(ctx context.Context, in *manageListUsersIn) (*manageUsersOut, error) {
	snap, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	out := &manageUsersOut{Body: []manageUser{}}
	for _, u := range snap.Users(p) {
		out.Body = append(out.Body, manageShowUser(u))
	}
	return out, nil
}

func (m *manageAPI) createUser(ctx context.Context, in *manageNewUserIn) (*manageUserOut, error) {
	_, p, err := m.project(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	u, err := m.reg.CreateUser(ctx, p, in.Body.Email, in.Body.Password)
	if err != nil {
		return nil, manageUserError(err, in.Body.Email)
	}
	return &manageUserOut{manageShowUser(u)}, nil
}

func (m *manageAPI) getUser(ctx context.Context, in *ManageUserName) (*manageUserOut, error) {
	u, err := m.user(ctx, in)
	if err != nil {
		return nil, err
	}
	return &manageUserOut{manageShowUser(u)}, nil
}

func (m *manageAPI) updateUser(ctx context.Context, in *managePatchUserIn) (*manageUserOut, error) {
	u, err := m.user(ctx, &in.ManageUserName)
	if err != nil {
		return nil, err
	}
	patch := registry.UserPatch{Email: in.Body.Email, Password: in.Body.Password}
	u, err = m.reg.UpdateUser(ctx, u.ID, patch)
	if err != nil {
		address := ""
		if patch.Email != nil {
			address = *patch.Email
		}
		return nil, manageUserError(err, address)
	}
	return &manageUserOut{manageShowUser(u)}, nil
}

func (m *manageAPI) deleteUser(ctx context.Context, in *ManageUserName) (*manageUserOut, error) {
	u, err := m.user(ctx, in)
	if err != nil {
		return nil, err
	}
	if u, err = m.reg.DeleteUser(ctx, u.ID); err != nil {
		return nil, err
	}
	return &manageUserOut{manageShowUser(u)}, nil
}

// manageUserError adds what can go wrong with users alone.
func manageUserError(err error, address string) error {
	if errors.Is(err, auth.ErrLoginsBusy) {
		return manageLater(nil, "Too many passwords are being hashed at once; nothing was changed, try again")
	}
	return manageTaken(err, "User", address)
}
