package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sluice/cmd/sluice/node"
	"sluice/relay/backup"
	"sluice/relay/consent"
)

func (m *Main) backup() *cobra.Command {
	var masterKey bool
	cmd := &cobra.Command{
		Use: "backup DIR", Short: "Take a backup of a running server into a new folder", Args: cobra.ExactArgs(1),
		Long: "Take a backup of all projects, their events and their keys, while the server goes on working. Everything it acknowledged before is\n" +
			"in it. The folder is made, and must be empty where it is there; when the backup breaks off nothing of it is left.\n\n" +
			"The master key is not in it: without `keys/master.key` of the data folder, kept elsewhere, nothing of the backup opens.\n" +
			"With --with-master-key it is, and whoever has the folder can open everything.",
		Example: "  sluice backup /backups/2026-11-21\n" +
			"  sluice restore /backups/2026-11-21 --data /var/lib/sluice --master /safe/master.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			from, err := c.Backup(cmd.Context(), masterKey)
			if err != nil {
				return err
			}
			defer from.Close()
			sum, err := backup.Receive(from, args[0], m.amount("received"))
			m.clearLine()
			switch {
			case errors.Is(err, backup.ErrNotEmpty):
				return fmt.Errorf("%w: name a new one", err)
			case errors.Is(err, backup.ErrIncomplete):
				return fmt.Errorf("%w: the server, or the connection to it, broke it off; the server's log says why. Nothing of it was kept", err)
			case err != nil:
				return err
			}
			return m.printed(struct {
				Dir       string    `json:"dir"`
				Created   time.Time `json:"created"`
				Version   string    `json:"version"`
				Files     int       `json:"files"`
				Bytes     int64     `json:"bytes"`
				MasterKey bool      `json:"masterKey"`
			}{args[0], sum.Created, sum.Version, sum.Files, sum.Bytes, sum.MasterKey},
				[]column{{"DIR", "dir"}, {"CREATED", "created"}, {"FILES", "files"}, {"BYTES", "bytes"}, {"MASTER KEY", "masterKey"}})
		},
	}
	cmd.Flags().BoolVar(&masterKey, "with-master-key", false, "put the master key into the backup: it then opens by itself")
	return cmd
}

func (m *Main) restore() *cobra.Command {
	var r node.Restore
	cmd := &cobra.Command{
		Use: "restore DIR", Short: "Make the data folder of a stopped server of a backup", Args: cobra.ExactArgs(1),
		Long: "Check a backup, and make a store of it in a data folder that has none. Events keep their offsets, webhooks and exporters go on where\n" +
			"they were, credentials work. It may be run again when it was interrupted; until it has come to its end no server starts there.\n\n" +
			"The master key is looked for where the server will look for it (setting keys.master), in --master, in --from-data, and in the backup.\n\n" +
			"Who was forgotten after the backup was taken is in it. They are forgotten again by the list that a server keeps as\n" +
			"`keys/forgotten` in its data folder: name it by --forgotten, several times for several nodes, or the old data folder by --from-data.\n" +
			"The list holds no names. It reaches 400 days back.",
		Example: "  sluice restore /backups/2026-11-21 --data ./sluice-data --from-data ./old-data\n" +
			"  sluice restore /backups/2026-11-21 --data ./sluice-data --master /safe/master.key --forgotten /safe/forgotten",
	}
	cmd.Flags().StringArrayVar(&r.Lists, "forgotten", nil, "list of who was forgotten since, to forget them again; may be repeated")
	cmd.Flags().StringArrayVar(&r.Masters, "master", nil, "file of the master key, copied to where the server looks for it")
	cmd.Flags().StringVar(&r.Old, "from-data", "", "the old data folder, for its master key and its list of the forgotten")
	load := m.settings(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		loaded, err := load()
		if err != nil {
			return err
		}
		r.Dir = args[0]
		r.Progress = m.share()
		restored, err := node.RestoreStore(cmd.Context(), m.node(loaded), r)
		m.clearLine()
		switch {
		case errors.Is(err, backup.ErrNotEmpty) && loaded.Engine.URL == "":
			return fmt.Errorf("%w: name a new folder by --data", err)
		case errors.Is(err, backup.ErrNoMaster):
			return fmt.Errorf("%w, or name its file by --master", err)
		case errors.Is(err, consent.ErrMaster):
			return fmt.Errorf("%w: the backup was taken of a server with another key", err)
		case err != nil:
			return err
		}
		if time.Since(restored.Created) > consent.ForgottenReach {
			fmt.Fprintln(m.Stderr, "sluice: warning: the backup is older than the list of the forgotten reaches: who was forgotten soon after it was taken may be back")
		}
		return m.printed(struct {
			Data      string    `json:"data"`
			Created   time.Time `json:"created"`
			Version   string    `json:"version"`
			Cells     int       `json:"cells"`
			Forgotten int       `json:"forgotten"`
		}{loaded.Data, restored.Created, restored.Version, restored.Cells, restored.Forgotten},
			[]column{{"DATA", "data"}, {"CREATED", "created"}, {"CELLS", "cells"}, {"FORGOTTEN", "forgotten"}})
	}
	return cmd
}

// printed is print for what this tool did itself.
func (m *Main) printed(v any, columns []column) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return m.print(text, columns)
}

// amount shows on a terminal how many bytes have come, at most a few times a second.
func (m *Main) amount(what string) func(int64) {
	var last time.Time
	return func(n int64) {
		if terminal(m.Stderr) && time.Since(last) >= redraw {
			last = time.Now()
			fmt.Fprintf(m.Stderr, "%s%s %.1f MB", wipe, what, float64(n)/1e6)
		}
	}
}

// share shows on a terminal how much of a work is done, likewise.
func (m *Main) share() func(what string, done, of int64) {
	var last time.Time
	return func(what string, done, of int64) {
		if terminal(m.Stderr) && time.Since(last) >= redraw {
			last = time.Now()
			fmt.Fprintf(m.Stderr, "%s%s, %d %%", wipe, what, 100*done/max(of, 1))
		}
	}
}
