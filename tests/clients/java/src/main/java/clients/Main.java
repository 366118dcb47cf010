package clients;

import com.datastax.oss.driver.api.core.CqlSession;
import com.datastax.oss.driver.api.core.cql.BatchStatement;
import com.datastax.oss.driver.api.core.cql.BoundStatement;
import com.datastax.oss.driver.api.core.cql.DefaultBatchType;
import com.datastax.oss.driver.api.core.cql.PreparedStatement;
import com.datastax.oss.driver.api.core.cql.Row;
import com.datastax.oss.driver.api.core.cql.SimpleStatement;
import com.datastax.oss.driver.api.core.data.CqlDuration;
import com.datastax.oss.driver.api.core.data.TupleValue;
import com.datastax.oss.driver.api.core.data.UdtValue;
import com.datastax.oss.driver.api.core.metadata.schema.SchemaChangeListenerBase;
import com.datastax.oss.driver.api.core.metadata.schema.TableMetadata;
import com.datastax.oss.driver.api.core.type.DataTypes;
import com.datastax.oss.driver.api.core.type.UserDefinedType;
import com.datastax.oss.driver.api.core.uuid.Uuids;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalTime;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A small program that uses a node as the Java driver's users do. Arguments: host, port.
 *
 * <p>It prints one line per step and ends with code 0 only if every step did what it should.
 */
public final class Main {
  private static final int PAGED_ROWS = 10_000;
  private static final CountDownLatch ANNOUNCED = new CountDownLatch(1);

  private Main() {}

  public static void main(String[] arguments) throws Exception {
    InetSocketAddress place =
        new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1]));
    try (CqlSession session =
        CqlSession.builder()
            .addContactPoint(place)
            .withLocalDatacenter("datacenter1")
            .withSchemaChangeListener(new Listener())
            .build()) {
      System.out.println("ok connect, protocol " + session.getContext().getProtocolVersion());
      session.execute("DROP KEYSPACE IF EXISTS java_client");
      session.execute(
          "CREATE KEYSPACE java_client WITH replication = "
              + "{'class': 'SimpleStrategy', 'replication_factor': 1}");
      session.execute("USE java_client");
      everyType(session);
      paging(session);
      session.execute("CREATE TABLE announced (id int PRIMARY KEY)");
      demand(ANNOUNCED.await(10, TimeUnit.SECONDS), "schema event", "nothing");
    }
    System.out.println("done");
  }

  private static final class Listener extends SchemaChangeListenerBase {
    @Override
    public void onTableCreated(TableMetadata table) {
      if (table.getName().asInternal().equals("announced")) {
        ANNOUNCED.countDown();
      }
    }
  }

  private static void demand(boolean isRight, String step, Object got) {
    if (!isRight) {
      System.out.println("FAILED " + step + ": got " + got);
      System.exit(1);
    }
    System.out.println("ok " + step);
  }

  private static void everyType(CqlSession session) throws Exception {
    session.execute("CREATE TYPE address (street text, number int)");
    session.execute(
        "CREATE TABLE every_type (id int PRIMARY KEY, a ascii, bi bigint, bl blob, bo boolean, "
            + "da date, de decimal, dou double, du duration, f float, ine inet, si smallint, "
            + "t text, ti time, ts timestamp, tu timeuuid, tiny tinyint, u uuid, v varint, "
            + "l list<int>, s set<text>, m map<text, int>, tup tuple<int, text>, "
            + "ad frozen<address>)");
    UserDefinedType addressType =
        session
            .refreshSchema()
            .getKeyspace("java_client")
            .flatMap(keyspace -> keyspace.getUserDefinedType("address"))
            .orElseThrow();
    UdtValue address = addressType.newValue("Main", 7);
    TupleValue tuple = DataTypes.tupleOf(DataTypes.INT, DataTypes.TEXT).newValue(9, "nine");
    Object[] values = {
      1, "ascii", -5L, ByteBuffer.wrap(new byte[] {0, -1}), true, LocalDate.of(2024, 2, 29),
      new BigDecimal("-12.345"), 1.5, CqlDuration.newInstance(1, 2, 3), -2.5f,
      InetAddress.getByName("10.1.2.3"), (short) -7, "héllo", LocalTime.of(1, 1, 1, 1000),
      Instant.parse("2024-02-29T12:30:15.250Z"), Uuids.timeBased(), (byte) -8, UUID.randomUUID(),
      new BigInteger("-123456789012345678901234567890"), List.of(3, 1, 2), Set.of("b", "a"),
      Map.of("x", 1), tuple, address
    };
    PreparedStatement insert =
        session.prepare(
            "INSERT INTO every_type (id, a, bi, bl, bo, da, de, dou, du, f, ine, si, t, ti, ts, "
                + "tu, tiny, u, v, l, s, m, tup, ad) VALUES "
                + "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    session.execute(insert.bind(values));
    Row row =
        session.execute(
                SimpleStatement.newInstance(
                    "SELECT id, a, bi, bl, bo, da, de, dou, du, f, ine, si, t, ti, ts, tu, tiny, "
                        + "u, v, l, s, m, tup, ad FROM every_type WHERE id = ?",
                    1))
            .one();
    for (int i = 0; i < values.length; i++) {
      Object got = row.getObject(i);
      demand(values[i].equals(got), "type " + row.getColumnDefinitions().get(i).getType(), got);
    }
  }

  private static void paging(CqlSession session) {
    session.execute("CREATE TABLE paged (pk int, ck int, v text, PRIMARY KEY (pk, ck))");
    PreparedStatement insert = session.prepare("INSERT INTO paged (pk, ck, v) VALUES (?, ?, ?)");
    for (int i = 0; i < PAGED_ROWS; i += 100) {
      var batch = BatchStatement.builder(DefaultBatchType.UNLOGGED);
      for (int j = i; j < i + 100; j++) {
        BoundStatement bound = insert.bind(j % 10, j, "v" + j);
        batch.addStatement(bound);
      }
      session.execute(batch.build());
    }
    int rows = 0;
    for (Row row :
        session.execute(SimpleStatement.newInstance("SELECT pk, ck, v FROM paged").setPageSize(500))) {
      rows += row.getString("v").equals("v" + row.getInt("ck")) ? 1 : 0;
    }
    demand(rows == PAGED_ROWS, "paging", rows);
  }
}
