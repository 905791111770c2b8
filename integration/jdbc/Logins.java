// Logs in as it is told, one login after the other: a start of Java for each would take longer than
// the login. A line of standard input is a URL, a user and a password; its answer is a line of
// "in", the current user, whether over TLS; or of "out", the SQLSTATE, and what went wrong. All
// words are encoded as in URLs, and separated by blanks.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import javax.net.ssl.SSLSocket;
import org.postgresql.core.PGStream;
import org.postgresql.core.QueryExecutorBase;
import org.postgresql.jdbc.PgConnection;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

public final class Logins {
    private static String words(Object... parts) {
        final StringBuilder line = new StringBuilder();
        for (final Object part : parts) {
            line.append(line.length() == 0 ? "" : " ")
                    .append(URLEncoder.encode(String.valueOf(part), StandardCharsets.UTF_8));
        }
        return line.toString();
    }

    // The driver does not tell, and pg_stat_ssl would tell of pgweir's own connection.
    private static boolean overTls(Connection connection)
            throws SQLException, ReflectiveOperationException {
        final Field stream = QueryExecutorBase.class.getDeclaredField("pgStream");
        stream.setAccessible(true);
        final Object executor = connection.unwrap(PgConnection.class).getQueryExecutor();
        return ((PGStream) stream.get(executor)).getSocket() instanceof SSLSocket;
    }

    // A server's own words (which its HINT is not among: pgweir's are of its own rules), or the
    // driver's with all their causes.
    private static String reason(SQLException error) {
        final ServerErrorMessage said = error instanceof PSQLException
                ? ((PSQLException) error).getServerErrorMessage() : null;
        if (said != null) {
            final String detail = said.getDetail();
            return said.getSeverity() + ": " + said.getMessage()
                    + (detail == null ? "" : "\nDETAIL: " + detail);
        }
        final StringBuilder text = new StringBuilder(error.getMessage());
        for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
            text.append("\n").append(cause);
        }
        return text.toString();
    }

    private static String login(String url, String user, String password)
            throws ReflectiveOperationException {
        try (Connection connection = DriverManager.getConnection(url, user, password);
             Statement statement = connection.createStatement();
             ResultSet rows = statement.executeQuery("select current_user")) {
            rows.next();
            return words("in", rows.getString(1), overTls(connection));
        } catch (SQLException error) {
            return words("out", error.getSQLState(), reason(error));
        }
    }

    public static void main(String[] arguments) throws IOException, ReflectiveOperationException {
        final BufferedReader lines =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            final String[] asked = line.split(" ");
            for (int n = 0; n < asked.length; ++n) {
                asked[n] = URLDecoder.decode(asked[n], StandardCharsets.UTF_8);
            }
            System.out.println(login(asked[0], asked[1], asked[2]));
        }
    }
}
