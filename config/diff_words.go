package config

import (
	"maps"
	"reflect"
	"strings"
	"sync"

	"github.com/reeve-lb/reeve/config/words"
	"github.com/reeve-lb/reeve/vrrp"
)

// wordsOf are the words of the fields of VRRP's settings, by their path in the struct (Garp.MasterDelay).
var wordsOf = sync.OnceValue(func() map[reflect.Type]map[string]string {
	out := map[reflect.Type]map[string]string{}
	for scope, typ := range map[string]reflect.Type{
		"global_defs": reflect.TypeFor[vrrp.Global](), "vrrp_instance": reflect.TypeFor[vrrp.Instance](), "vrrp_sync_group": reflect.TypeFor[vrrp.SyncGroup](),
		"vrrp_script": reflect.TypeFor[vrrp.Script](), "vrrp_track_process": reflect.TypeFor[vrrp.Process](), "track_file": reflect.TypeFor[vrrp.File](),
		"track_group": reflect.TypeFor[vrrp.TrackGroup](), "garp_group": reflect.TypeFor[vrrp.GarpGroup](),
	} {
		out[typ] = maps.Clone(more[scope])
		if out[typ] == nil {
			out[typ] = map[string]string{}
		}
		for _, w := range words.In(scope) {
			if f := strings.TrimSuffix(w.Field, ".User"); f != "" && f == w.Field && out[typ][f] == "" {
				out[typ][f] = w.Name
			}
		}
	}
	return out
})

// more are the words of fields that the table has no Field for, because a reader takes their lines apart.
var more = map[string]map[string]string{
	"global_defs": {"ScriptUser": "script_user", "Mail.Server": "smtp_server", "Mail.Port": "smtp_server / port", "GarpExtraIf": "vrrp_garp_extra_if",
		"GarpExtraIfAll": "vrrp_garp_extra_if / all", "DynamicInterfaces": "dynamic_interfaces", "AllowIfChanges": "dynamic_interfaces / allow_if_changes",
		"FIFO.Path": "notify_fifo", "FIFO.User": "notify_fifo / user", "VRRPFIFO.Path": "vrrp_notify_fifo", "VRRPFIFO.User": "vrrp_notify_fifo / user",
		"ReloadFile": "reload_file", "Umask": "umask", "InterfaceDelays": "interface_up_down_delays", "SNMP": "snmp", "Webhooks": "webhook"},
	"vrrp_instance": {"Unicast.OldChecksum": "old_unicast_checksum", "VMAC.Use": "use_vmac", "VMAC.Name": "use_vmac / name", "VMAC.MAC": "use_vmac / mac",
		"VMAC.IPVlan": "use_ipvlan", "VMAC.IPVlanIP": "use_ipvlan / address", "VMAC.IPVlanMode": "use_ipvlan / mode", "Garp.ExtraIf": "garp_extra_if",
		"Garp.ExtraIfAll": "garp_extra_if / all", "Routes": "virtual_routes", "Rules": "virtual_rules", "AuthType": "auth_type", "AuthPass": "auth_pass",
		"Notifies.SayDeleted": "notify_deleted"},
	"vrrp_sync_group":    {"Notifies.SayDeleted": "notify_deleted"},
	"vrrp_script":        {"Command": "script", "Weight": "weight", "User": "user"},
	"vrrp_track_process": {"Command": "process", "Args": "process / parameter", "Weight": "weight", "QuorumMax": "quorum_max"},
	"track_file":         {"Weight": "weight", "Init": "init_file", "Overwrite": "init_file / overwrite"},
}

var commandType = reflect.TypeFor[vrrp.Command]()

// words compares the fields of a struct under the names that files give them. A struct within it (Garp, Notifies) is no
// name of its own when its fields have words.
func (d *differ) words(path, inner string, names map[string]string, a, b reflect.Value) {
	for i := range a.NumField() {
		f := a.Type().Field(i)
		key := inner + f.Name
		name, named := names[key]
		switch {
		case f.Type == commandType && named:
			d.command(join(path, name), a.Field(i), b.Field(i))
		case named || f.Type == posType:
			d.walk(join(path, name), a.Field(i), b.Field(i))
		case f.Type.Kind() == reflect.Struct && !isLeaf(f.Type):
			d.words(path, key+".", names, a.Field(i), b.Field(i))
		default:
			d.walk(join(path, wordOf(f.Name)), a.Field(i), b.Field(i))
		}
	}
}

// command compares a command under its word, and who runs it.
func (d *differ) command(path string, a, b reflect.Value) {
	d.at(a, b, func() {
		d.walk(path, a.FieldByName("Argv"), b.FieldByName("Argv"))
		d.walk(path+" / user", a.FieldByName("User"), b.FieldByName("User"))
		if strings.HasSuffix(path, "_script") {
			d.walk(path+"_timeout", a.FieldByName("Timeout"), b.FieldByName("Timeout"))
		}
	})
}
