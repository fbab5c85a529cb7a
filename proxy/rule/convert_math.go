package rule

import (
	"fmt"
	"math"
)

// Arithmetic and logic; results that leave 64 bits stop at their ends.

func init() {
	for name, f := range map[string]func(a, b int64) int64{
		"add": addClamped, "sub": func(a, b int64) int64 { return addClamped(a, -max(b, math.MinInt64+1)) }, "mul": mulClamped,
		"div": divide, "mod": modulo, "and": func(a, b int64) int64 { return a & b }, "or": func(a, b int64) int64 { return a | b },
		"xor": func(a, b int64) int64 { return a ^ b },
	} {
		converters[name] = &convDef{in: Int, least: 1, most: 1, make: makeMath(f)}
	}
	number := func(out Type, f func(n int64) int64) *convDef {
		return on(Int, out, func(_ *Ctx, v *Value) bool {
			n, ok := v.number()
			v.Type, v.Int = out, f(n)
			return ok
		})
	}
	truth := func(b bool) int64 {
		if b {
			return 1
		}
		return 0
	}
	converters["neg"] = number(Int, func(n int64) int64 { return -max(n, math.MinInt64+1) })
	converters["cpl"] = number(Int, func(n int64) int64 { return ^n })
	converters["not"] = number(Bool, func(n int64) int64 { return truth(n == 0) })
	converters["bool"] = number(Bool, func(n int64) int64 { return truth(n != 0) })
	converters["even"] = number(Bool, func(n int64) int64 { return truth(n&1 == 0) })
	converters["odd"] = number(Bool, func(n int64) int64 { return truth(n&1 == 1) })
}

func addClamped(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

func mulClamped(a, b int64) int64 {
	if a == 0 || b == 0 {
		return 0
	}
	if p := a * b; p/b == a && (a != -1 || b != math.MinInt64) && (b != -1 || a != math.MinInt64) {
		return p
	}
	if (a < 0) == (b < 0) {
		return math.MaxInt64
	}
	return math.MinInt64
}

func divide(a, b int64) int64 {
	switch {
	case b == 0:
		return math.MaxInt64
	case b == -1:
		return -max(a, math.MinInt64+1)
	}
	return a / b
}

func modulo(a, b int64) int64 {
	if b == 0 || b == -1 {
		return 0
	}
	return a % b
}

// makeMath takes a number or a variable as the second operand.
func makeMath(f func(a, b int64) int64) func(*program, *expr, []string) (convFunc, Type, error) {
	return func(p *program, _ *expr, args []string) (convFunc, Type, error) {
		if operand, ok := parseNumber([]byte(args[0])); ok {
			return func(_ *Ctx, v *Value) bool {
				n, ok := v.number()
				v.setInt(f(n, operand))
				return ok
			}, Int, nil
		}
		vr, err := p.variable(args[0])
		if err != nil {
			return nil, 0, fmt.Errorf("'%s' is neither a number nor a variable", short(args[0]))
		}
		return func(c *Ctx, v *Value) bool {
			fr := c.push()
			defer c.pop()
			n, ok1 := v.number()
			if !ok1 || !vr.of(c).get(vr.index, &fr.v) {
				return false
			}
			m, ok := fr.v.number()
			v.setInt(f(n, m))
			return ok
		}, Int, nil
	}
}
