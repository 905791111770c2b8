// 50 clients on a small pool with the driver's own defaults: the fifth execution of a statement
// makes it a named one on the server. Arguments: URL, user, password, clients, turns.

import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public final class Drive {
    private static void same(Object expected, Object got) {
        if (!expected.equals(got)) {
            throw new IllegalStateException("expected " + expected + ", got " + got);
        }
    }

    private static String canary(PreparedStatement statement, int number, String text)
            throws SQLException {
        statement.setInt(1, number);
        statement.setString(2, text);
        try (ResultSet rows = statement.executeQuery()) {
            rows.next();
            return rows.getInt(1) + "/" + rows.getString(2);
        }
    }

    private static void refused(PreparedStatement divide) throws SQLException {
        divide.setInt(1, 0);
        try (ResultSet rows = divide.executeQuery()) {
            throw new IllegalStateException("1/0 was answered");
        } catch (SQLException error) {
            same("22012", error.getSQLState());
        }
    }

    private static void batch(Connection connection, int client, int turn) throws SQLException {
        try (PreparedStatement insert =
                     connection.prepareStatement("insert into t (client, v) values (?, ?)")) {
            for (int n = 0; n < 10; ++n) {
                insert.setInt(1, client);
                insert.setString(2, turn + "." + n);
                insert.addBatch();
            }
            same(10, insert.executeBatch().length);
        }
    }

    private static void rowsInPortions(Connection connection) throws SQLException {
        try (PreparedStatement many =
                     connection.prepareStatement("select generate_series(1, ?)")) {
            many.setFetchSize(7);
            many.setInt(1, 40);
            long sum = 0;
            try (ResultSet rows = many.executeQuery()) {
                while (rows.next()) {
                    sum += rows.getInt(1);
                }
            }
            same(820L, sum);
        }
    }

    private static void work(Connection connection, int client, int turns) throws SQLException {
        final boolean auto = connection.getAutoCommit();
        try (PreparedStatement echo = connection.prepareStatement("select ?::int, ?::text");
             PreparedStatement divide = connection.prepareStatement("select 10 / ?::int")) {
            for (int turn = 0; turn < turns; ++turn) {
                final String text = client + "." + turn;
                same(client + "/" + text, canary(echo, client, text));
                batch(connection, client, turn);
                if (turn % 4 == 1) {
                    if (!auto) {
                        connection.commit();
                    }
                    refused(divide);
                    if (!auto) {
                        connection.rollback();
                    }
                }
                rowsInPortions(connection);
                if (!auto) {
                    connection.commit();
                }
            }
        }
        try (Statement plain = connection.createStatement();
             ResultSet rows =
                     plain.executeQuery("select count(*) from t where client = " + client)) {
            rows.next();
            same(10L * turns, rows.getLong(1));
        }
        if (!auto) {
            connection.commit();
        }
    }

    public static void main(String[] arguments) throws Exception {
        final int clients = Integer.parseInt(arguments[3]);
        final int turns = Integer.parseInt(arguments[4]);
        final ExecutorService threads = Executors.newFixedThreadPool(clients);
        final List<Future<Void>> done = new ArrayList<>();
        for (int n = 0; n < clients; ++n) {
            final int client = n;
            final Callable<Void> one = () -> {
                try (Connection connection =
                             DriverManager.getConnection(arguments[0], arguments[1], arguments[2])) {
                    connection.setAutoCommit(client % 2 == 0);
                    work(connection, client, turns);
                }
                return null;
            };
            done.add(threads.submit(one));
        }
        for (final Future<Void> one : done) {
            one.get();
        }
        threads.shutdown();
        System.out.println("all " + clients + " clients are done");
    }
}
