/* What OpenSSL alone needs for a TLS connection that a server holds and that is silent.
 *
 * usage: tls_floor CERTIFICATE KEY FIRST ALL
 * Prints by how many bytes resident memory grows with each connection from the FIRSTth to the last of
 * ALL. Each has shaken hands, and has read and written one message. The clients are another process;
 * the memory BIOs that bytes go through are empty afterwards and are shared, so that nothing but
 * OpenSSL's own state is counted. */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char* what) {
    fprintf(stderr, "tls_floor: %s\n", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static SSL_CTX* make_context(const SSL_METHOD* method) {
    SSL_CTX* ctx = SSL_CTX_new(method);
    if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1) fail("no context");
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    return ctx;
}

/* One client after the other; each leaves without a word, so that the server's end stays as it is. */
static void be_clients(int fd, long all) {
    SSL_CTX* ctx = make_context(TLS_client_method());
    for (long i = 0; i < all; ++i) {
        char reply[64];
        SSL* ssl = SSL_new(ctx);
        if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) fail("no client");
        if (SSL_connect(ssl) != 1 || SSL_write(ssl, "question", 8) != 8 ||
            SSL_read(ssl, reply, sizeof reply) != 6) {
            fail("a client failed");
        }
        SSL_free(ssl);
    }
    exit(0);
}

static BIO *in, *out;

static void send_output(int fd) {
    char* data;
    const long size = BIO_get_mem_data(out, &data);
    if (size > 0 && send(fd, data, (size_t)size, MSG_NOSIGNAL) != size) fail("send");
    (void)BIO_reset(out);
}

/* Sends what was said, and fetches more where `result` only says that it is wanted. */
static int again(SSL* ssl, int fd, int result) {
    send_output(fd);
    if (result > 0) return 0;
    if (SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) fail("a server failed");
    char received[65536];
    const ssize_t size = recv(fd, received, sizeof received, 0);
    if (size <= 0 || BIO_write(in, received, (int)size) != size) fail("recv");
    return 1;
}

static void serve(SSL_CTX* ctx, int fd) {
    char question[64];
    SSL* ssl = SSL_new(ctx); /* held until the process ends */
    if (ssl == NULL) fail("no server");
    BIO_up_ref(in);
    BIO_up_ref(out);
    SSL_set_bio(ssl, in, out);
    while (again(ssl, fd, SSL_accept(ssl))) continue;
    while (again(ssl, fd, SSL_read(ssl, question, sizeof question))) continue;
    if (again(ssl, fd, SSL_write(ssl, "answer", 6))) fail("nothing to wait for");
}

static long resident_bytes(void) {
    long pages;
    FILE* f = fopen("/proc/self/statm", "r");
    if (f == NULL || fscanf(f, "%*d %ld", &pages) != 1) fail("/proc/self/statm");
    fclose(f);
    return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char** argv) {
    int ends[2];
    if (argc != 5 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) fail("see its source");
    const long first = atol(argv[3]), all = atol(argv[4]);
    if (first < 0 || all <= first) fail("FIRST must be less than ALL");
    const pid_t child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        close(ends[0]);
        be_clients(ends[1], all);
    }
    close(ends[1]);
    SSL_CTX* ctx = make_context(TLS_server_method());
    if (SSL_CTX_use_certificate_file(ctx, argv[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, argv[2], SSL_FILETYPE_PEM) != 1) {
        fail("no certificate");
    }
    in = BIO_new(BIO_s_mem());
    out = BIO_new(BIO_s_mem());
    if (in == NULL || out == NULL) fail("no memory");
    long i = 0;
    while (i < first) serve(ctx, ends[0]), ++i;
    const long before = resident_bytes();
    while (i < all) serve(ctx, ends[0]), ++i;
    printf("%ld\n", (resident_bytes() - before) / (all - first));
    int status;
    return waitpid(child, &status, 0) == child && status == 0 ? 0 : 1;
}
