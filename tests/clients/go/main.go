// A small program that uses a node as gocql's users do. Arguments: host, port.
//
// It prints one line per step and ends with code 0 only if every step did what it should.
package main

import (
	"fmt"
	"math/big"
	"net"
	"os"
	"reflect"
	"strconv"
	"time"

	"github.com/gocql/gocql"
	"gopkg.in/inf.v0"
)

const (
	pagedRows   = 10000
	eventWaitMs = 10000
)

func check(err error, step string) {
	if err != nil {
		fmt.Printf("FAILED %s: %v\n", step, err)
		os.Exit(1)
	}
}

func demand(ok bool, step string, got any) {
	if !ok {
		fmt.Printf("FAILED %s: got %v\n", step, got)
		os.Exit(1)
	}
	fmt.Println("ok", step)
}

func connect(host string, port int, keyspace string) *gocql.Session {
	cluster := gocql.NewCluster(host)
	cluster.Port = port
	cluster.Keyspace = keyspace
	cluster.Timeout = 10 * time.Second
	cluster.Consistency = gocql.One
	session, err := cluster.CreateSession()
	check(err, "connect")
	return session
}

func main() {
	port, err := strconv.Atoi(os.Args[2])
	check(err, "port")
	setup := connect(os.Args[1], port, "")
	check(setup.Query("DROP KEYSPACE IF EXISTS go_client").Exec(), "drop keyspace")
	check(setup.Query("CREATE KEYSPACE go_client WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}").Exec(), "create keyspace")
	setup.Close()
	session := connect(os.Args[1], port, "go_client")
	defer session.Close()
	fmt.Println("ok connect")
	allTypes(session)
	paging(session)
	batches(session)
	schemaEvents(session, connect(os.Args[1], port, "go_client"))
	fmt.Println("done")
}

type address struct {
	Street string `cql:"street"`
	Number int    `cql:"number"`
}

func allTypes(session *gocql.Session) {
	check(session.Query("CREATE TYPE address (street text, number int)").Exec(), "create type")
	check(session.Query(`CREATE TABLE every_type (id int PRIMARY KEY, a ascii, bi bigint, bl blob, bo boolean, da date, de decimal,
		dou double, du duration, f float, ine inet, si smallint, t text, ti time, ts timestamp, tu timeuuid, tiny tinyint, u uuid,
		v varint, l list<int>, s set<text>, m map<text, int>, tup tuple<int, text>, ad frozen<address>)`).Exec(), "create table")
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	instant := time.Date(2024, 2, 29, 12, 30, 15, 250000000, time.UTC)
	timeuuid, uuid := gocql.TimeUUID(), gocql.MustRandomUUID()
	huge, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	decimal := inf.NewDec(-12345, 3)
	duration := gocql.Duration{Months: 1, Days: 2, Nanoseconds: 3}
	place := address{"Main", 7}
	check(session.Query(`INSERT INTO every_type (id, a, bi, bl, bo, da, de, dou, du, f, ine, si, t, ti, ts, tu, tiny, u, v, l, s, m, tup, ad)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, (?, ?), ?)`,
		1, "ascii", int64(-5), []byte{0, 255}, true, day, decimal, 1.5, duration, float32(-2.5), net.ParseIP("10.1.2.3"), int16(-7), "héllo",
		time.Duration(3661000000001), instant, timeuuid, int8(-8), uuid, huge, []int{3, 1, 2}, []string{"b", "a"},
		map[string]int{"x": 1}, 9, "nine", place).Exec(), "insert every type")
	var (
		a, t   string
		bi     int64
		bl     []byte
		bo     bool
		da, ts time.Time
		de     *inf.Dec
		dou    float64
		du     gocql.Duration
		f      float32
		ine    net.IP
		si     int16
		ti     time.Duration
		tu, u  gocql.UUID
		tiny   int8
		v      *big.Int
		l      []int
		s      []string
		m      map[string]int
		tupA   int
		tupB   string
		ad     address
	)
	check(session.Query("SELECT a, bi, bl, bo, da, de, dou, du, f, ine, si, t, ti, ts, tu, tiny, u, v, l, s, m, tup, ad FROM every_type WHERE id = ?", 1).
		Scan(&a, &bi, &bl, &bo, &da, &de, &dou, &du, &f, &ine, &si, &t, &ti, &ts, &tu, &tiny, &u, &v, &l, &s, &m, &tupA, &tupB, &ad), "select every type")
	got := []any{a, bi, bl, bo, da.UTC(), de.String(), dou, du, f, ine.String(), si, t, ti, ts.UTC(), tu, tiny, u, v.String(), l, s, m, tupA, tupB, ad}
	want := []any{"ascii", int64(-5), []byte{0, 255}, true, day, decimal.String(), 1.5, duration, float32(-2.5), "10.1.2.3", int16(-7), "héllo",
		time.Duration(3661000000001), instant, timeuuid, int8(-8), uuid, huge.String(), []int{3, 1, 2}, []string{"a", "b"},
		map[string]int{"x": 1}, 9, "nine", place}
	for i := range want {
		demand(reflect.DeepEqual(got[i], want[i]), fmt.Sprintf("type %d", i), got[i])
	}
}

func paging(session *gocql.Session) {
	check(session.Query("CREATE TABLE paged (pk int, ck int, v text, PRIMARY KEY (pk, ck))").Exec(), "create paged")
	for i := 0; i < pagedRows; i++ {
		check(session.Query("INSERT INTO paged (pk, ck, v) VALUES (?, ?, ?)", i%10, i, "v"+strconv.Itoa(i)).Exec(), "insert")
	}
	iter := session.Query("SELECT pk, ck, v FROM paged").PageSize(500).Iter()
	rows, pk, ck, v := 0, 0, 0, ""
	seen := map[int]bool{}
	for iter.Scan(&pk, &ck, &v) {
		rows++
		seen[ck] = pk == ck%10 && v == "v"+strconv.Itoa(ck)
	}
	check(iter.Close(), "page")
	demand(rows == pagedRows && len(seen) == pagedRows, "paging", rows)
}

func batches(session *gocql.Session) {
	batch := session.NewBatch(gocql.LoggedBatch)
	batch.Query("INSERT INTO paged (pk, ck, v) VALUES (?, ?, ?)", 100, 1, "one")
	batch.Query("INSERT INTO paged (pk, ck, v) VALUES (?, ?, ?)", 101, 2, "two")
	check(session.ExecuteBatch(batch), "batch")
	var count int
	check(session.Query("SELECT count(*) FROM paged WHERE pk IN (100, 101)").Scan(&count), "count")
	demand(count == 2, "batch", count)
}

// schemaEvents watches through one session what another one changes: gocql drops its cached metadata only on an event.
func schemaEvents(writer *gocql.Session, watcher *gocql.Session) {
	defer watcher.Close()
	_, err := watcher.KeyspaceMetadata("go_client")
	check(err, "metadata")
	check(writer.Query("CREATE TABLE announced (id int PRIMARY KEY)").Exec(), "create announced")
	for waited := 0; waited < eventWaitMs; waited += 50 {
		metadata, err := watcher.KeyspaceMetadata("go_client")
		check(err, "metadata")
		if _, found := metadata.Tables["announced"]; found {
			fmt.Println("ok schema event")
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	demand(false, "schema event", "nothing")
}
