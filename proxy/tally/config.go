package tally

import (
	"fmt"
	"slices"

	"github.com/reeve-lb/reeve/proxy"
)

// Configured is what a configuration says of a table.
func Configured(s *proxy.StickTable) (Config, error) {
	i := slices.Index(Types, s.Type)
	if i < 0 {
		return Config{}, fmt.Errorf("'%s' is no type of a stick-table", s.Type)
	}
	c := Config{Type: KeyType(i), Len: s.Len, Size: s.Size, Expire: s.Expire, NoPurge: s.NoPurge}
	for _, text := range s.Store {
		st, err := ParseStore(text)
		if err != nil {
			return c, err
		}
		c.Stores = append(c.Stores, st)
	}
	return c, nil
}

// Same reports whether a table of one configuration serves for the other: but for its bounds it is the same.
func (c Config) Same(o Config) bool {
	return c.Type == o.Type && c.Len == o.Len && slices.Equal(c.Stores, o.Stores)
}
