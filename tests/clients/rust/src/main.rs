//! A small program that uses a node as the users of the Rust driver do. Arguments: host, port.
//!
//! It prints one line per step and ends with code 0 only if every step did what it should.

use futures::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlDate, CqlDecimal, CqlDuration, CqlTime, CqlTimestamp, CqlTimeuuid, CqlVarint};
use scylla::{DeserializeRow, DeserializeValue, SerializeRow, SerializeValue};
use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::net::IpAddr;
use uuid::Uuid;

const PAGED_ROWS: i32 = 10_000;

fn demand(is_right: bool, step: &str, got: impl std::fmt::Debug) {
    if !is_right {
        println!("FAILED {step}: got {got:?}");
        std::process::exit(1);
    }
    println!("ok {step}");
}

#[derive(Debug, Clone, PartialEq, SerializeValue, DeserializeValue)]
struct Address {
    street: String,
    number: i32,
}

#[derive(Debug, Clone, PartialEq, SerializeRow, DeserializeRow)]
struct EveryType {
    id: i32,
    a: String,
    bi: i64,
    bl: Vec<u8>,
    bo: bool,
    da: CqlDate,
    de: CqlDecimal,
    dou: f64,
    du: CqlDuration,
    f: f32,
    ine: IpAddr,
    si: i16,
    t: String,
    ti: CqlTime,
    ts: CqlTimestamp,
    tu: CqlTimeuuid,
    tiny: i8,
    u: Uuid,
    v: CqlVarint,
    l: Vec<i32>,
    s: HashSet<String>,
    m: HashMap<String, i32>,
    tup: (i32, String),
    ad: Address,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let node = format!("{}:{}", arguments[1], arguments[2]);
    let session = SessionBuilder::new().known_node(&node).build().await?;
    println!("ok connect");
    session.query_unpaged("DROP KEYSPACE IF EXISTS rust_client", ()).await?;
    session
        .query_unpaged(
            "CREATE KEYSPACE rust_client WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
            (),
        )
        .await?;
    session.use_keyspace("rust_client", false).await?;
    every_type(&session).await?;
    paging(&session).await?;
    schema_change(&session, &node).await?;
    println!("done");
    Ok(())
}

async fn every_type(session: &Session) -> Result<(), Box<dyn Error>> {
    session.query_unpaged("CREATE TYPE address (street text, number int)", ()).await?;
    session
        .query_unpaged(
            "CREATE TABLE every_type (id int PRIMARY KEY, a ascii, bi bigint, bl blob, bo boolean, da date, de decimal, dou double, \
             du duration, f float, ine inet, si smallint, t text, ti time, ts timestamp, tu timeuuid, tiny tinyint, u uuid, \
             v varint, l list<int>, s set<text>, m map<text, int>, tup tuple<int, text>, ad frozen<address>)",
            (),
        )
        .await?;
    let row = EveryType {
        id: 1,
        a: "ascii".into(),
        bi: -5,
        bl: vec![0, 255],
        bo: true,
        da: CqlDate((1 << 31) + 19_782),
        de: CqlDecimal::from_signed_be_bytes_and_exponent(vec![0xfe, 0x71, 0x5d], 3),
        dou: 1.5,
        du: CqlDuration { months: 1, days: 2, nanoseconds: 3 },
        f: -2.5,
        ine: "10.1.2.3".parse()?,
        si: -7,
        t: "héllo".into(),
        ti: CqlTime(3_661_000_001_000),
        ts: CqlTimestamp(1_709_209_815_250),
        tu: "8e14e760-7fa8-11eb-bc66-000000000001".parse()?,
        tiny: -8,
        u: Uuid::new_v4(),
        v: CqlVarint::from_signed_bytes_be(vec![0xfe, 0x71, 0x5d]),
        l: vec![3, 1, 2],
        s: HashSet::from(["a".to_string(), "b".to_string()]),
        m: HashMap::from([("x".to_string(), 1)]),
        tup: (9, "nine".into()),
        ad: Address { street: "Main".into(), number: 7 },
    };
    let insert = session
        .prepare(
            "INSERT INTO every_type (id, a, bi, bl, bo, da, de, dou, du, f, ine, si, t, ti, ts, tu, tiny, u, v, l, s, m, tup, ad) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .await?;
    session.execute_unpaged(&insert, &row).await?;
    let got: EveryType = session
        .query_unpaged("SELECT * FROM every_type WHERE id = ?", (1,))
        .await?
        .into_rows_result()?
        .single_row()?;
    demand(got == row, "every type", got);
    Ok(())
}

async fn paging(session: &Session) -> Result<(), Box<dyn Error>> {
    session
        .query_unpaged("CREATE TABLE paged (pk int, ck int, v text, PRIMARY KEY (pk, ck))", ())
        .await?;
    let insert = session.prepare("INSERT INTO paged (pk, ck, v) VALUES (?, ?, ?)").await?;
    for first in (0..PAGED_ROWS).step_by(100) {
        let mut batch = Batch::new(BatchType::Unlogged);
        let mut values = Vec::new();
        for i in first..first + 100 {
            batch.append_statement(insert.clone());
            values.push((i % 10, i, format!("v{i}")));
        }
        session.batch(&batch, values).await?;
    }
    let select = Statement::new("SELECT pk, ck, v FROM paged").with_page_size(500);
    let mut rows = session.query_iter(select, ()).await?.rows_stream::<(i32, i32, String)>()?;
    let mut seen = HashSet::new();
    while let Some((pk, ck, v)) = rows.try_next().await? {
        if pk == ck % 10 && v == format!("v{ck}") {
            seen.insert(ck);
        }
    }
    demand(seen.len() == PAGED_ROWS as usize, "paging", seen.len());
    Ok(())
}

/// The driver does not act on schema events; what it learns when it is asked to look is checked instead.
async fn schema_change(writer: &Session, node: &str) -> Result<(), Box<dyn Error>> {
    let watcher = SessionBuilder::new().known_node(node).build().await?;
    writer.query_unpaged("CREATE TABLE announced (id int PRIMARY KEY)", ()).await?;
    watcher.await_schema_agreement().await?;
    watcher.refresh_metadata().await?;
    let state = watcher.get_cluster_state();
    let keyspace = state.get_keyspace("rust_client");
    let is_known = keyspace.is_some_and(|keyspace| keyspace.tables.contains_key("announced"));
    demand(is_known, "schema change", "nothing");
    Ok(())
}
