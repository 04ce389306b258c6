package crash

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// constants are the points as points.go declares them, by constant.
func constants(t *testing.T) map[string]Point {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Point{}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		name, err := strconv.Unquote(s.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if s.Comment == nil {
			t.Errorf("%s does not say what is true there", name)
		}
		out[s.Names[0].Name] = Point(name)
		return true
	})
	return out
}

func TestPointsListsEveryConstantOnce(t *testing.T) {
	want := []Point{}
	for _, p := range constants(t) {
		want = append(want, p)
	}
	got := Points()
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Points() is %v, the constants are %v", got, want)
	}
	if len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Error("a name stands twice")
	}
	if len(got) < 60 {
		t.Errorf("%d points are fewer than the 60 that are promised", len(got))
	}
}

// Each point stands in the code of what it is named after.
func TestEveryPointIsPassedSomewhere(t *testing.T) {
	used := map[string][]string{}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal/crash/") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			c, ok := n.(*ast.CallExpr)
			if !ok || len(c.Args) != 1 || !selects(c.Fun, "At") {
				return true
			}
			if s, ok := c.Args[0].(*ast.SelectorExpr); ok {
				used[s.Sel.Name] = append(used[s.Sel.Name], path)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range constants(t) {
		owner, _, _ := strings.Cut(string(p), "/")
		if len(used[name]) == 0 {
			t.Errorf("%s is passed nowhere", p)
		}
		for _, path := range used[name] {
			if !strings.Contains(path, "/"+owner+"/") {
				t.Errorf("%s stands in %s", p, path)
			}
		}
	}
}

func selects(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == "crash" && s.Sel.Name == name
}

func TestOrders(t *testing.T) {
	for text, want := range map[string]Order{
		"writer/after-send":          {Point: WriterAfterSend, Nth: 1},
		" writer/after-send:3\n":     {Point: WriterAfterSend, Nth: 3},
		"writer/before-send:2:stop":  {Point: WriterBeforeSend, Nth: 2, Stop: true},
		"store/after-commit:1000000": {Point: StoreAfterCommit, Nth: 1000000},
	} {
		got, err := ParseOrder(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
		if again, err := ParseOrder(got.String()); err != nil || again != got {
			t.Errorf("%q does not come back: %+v, %v", got, again, err)
		}
	}
	for _, text := range []string{"", "writer/nowhere", "writer/after-send:", "writer/after-send:0", "writer/after-send:-1", "writer/after-send:x", "writer/after-send:1:go", "writer/after-send:1:stop:x"} {
		if _, err := ParseOrder(text); err == nil {
			t.Errorf("%q is understood", text)
		}
	}
}

// Every point is reached by at least one service, and each of those exists.
func TestServicesOfPoints(t *testing.T) {
	known := []string{"ingest", "transform", "writer", "reconciler", "audit"}
	for _, p := range Points() {
		if len(p.Services()) == 0 {
			t.Errorf("%s is reached by nobody", p)
		}
		for _, s := range p.Services() {
			if !slices.Contains(known, s) {
				t.Errorf("%s is reached by %q", p, s)
			}
		}
	}
}

// A program that people run cannot be told to die.
func TestWithoutTheTagNothingDies(t *testing.T) {
	if Compiled {
		t.Skip("built with the tag")
	}
	file := filepath.Join(t.TempDir(), "order")
	t.Setenv(EnvFile, file)
	for _, p := range Points() {
		t.Setenv(EnvAt, string(p))
		if err := os.WriteFile(file, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		At(p)
	}
}

// With the tag it dies where it is told: the same package, built with it.
func TestWithTheTagItDies(t *testing.T) {
	if Compiled {
		t.Skip("this is the program that dies")
	}
	cmd := exec.Command("go", "test", "-tags", "crashpoints", "-count=1", "-run", "TestDies", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
