/* An echo of WebSocket texts on libwebsockets and, with --tls, OpenSSL: one thread, TLS 1.3 alone, no
   tickets. What comes is queued and written when the library says that it may be, one message each
   time, as its manual asks for. */
#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Largest message, and how many may wait for their echo: more than the load ever has in flight. */
enum { MESSAGE_BYTES = 512, MESSAGES = 32 };
/* Bytes of the library's read buffer. */
enum { BUFFER_BYTES = 1024 };

struct message {
    size_t length;
    unsigned char bytes[LWS_PRE + MESSAGE_BYTES];
};

struct session {
    struct message *queue; /* MESSAGES of them, while any waits */
    unsigned int first, count;
};

static int no_tickets(SSL_CTX *context)
{
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(context, 0) == 1;
}

static int serve(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length)
{
    struct session *session = user;
    struct message *message;

    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
        return no_tickets(user) ? 0 : 1;
    case LWS_CALLBACK_RECEIVE:
        if (session->count == MESSAGES)
            return -1;
        if (session->queue == NULL) {
            session->queue = malloc(MESSAGES * sizeof *session->queue);
            if (session->queue == NULL)
                return -1;
        }
        message = &session->queue[(session->first + session->count) % MESSAGES];
        /* A message comes in pieces where it crosses the end of the library's read buffer. */
        if (lws_is_first_fragment(wsi))
            message->length = 0;
        if (length > MESSAGE_BYTES - message->length)
            return -1;
        memcpy(message->bytes + LWS_PRE + message->length, in, length);
        message->length += length;
        if (lws_is_final_fragment(wsi)) {
            session->count++;
            lws_callback_on_writable(wsi);
        }
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (session->count == 0)
            return 0;
        message = &session->queue[session->first];
        session->first = (session->first + 1) % MESSAGES;
        session->count--;
        if (lws_write(wsi, message->bytes + LWS_PRE, message->length, LWS_WRITE_TEXT) < 0)
            return -1;
        if (session->count > 0)
            lws_callback_on_writable(wsi);
        return 0;
    case LWS_CALLBACK_CLOSED:
        free(session->queue);
        session->queue = NULL;
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, length);
    }
}

static const struct lws_protocols protocols[] = {
    /* The first one serves HTTP and those who offer no subprotocol. */
    { "FC-protocol", serve, sizeof(struct session), BUFFER_BYTES, 0, NULL, 0 },
    { NULL, NULL, 0, 0, 0, NULL, 0 },
};

static struct lws_context *context;
static volatile sig_atomic_t is_over;

static void end(int signal)
{
    (void)signal;
    is_over = 1;
    lws_cancel_service(context);
}

int main(int count, char **arguments)
{
    struct lws_context_creation_info info;
    const char *listen = NULL, *colon;
    char address[64];
    struct lws_vhost *host;
    int at;

    memset(&info, 0, sizeof info);
    for (at = 1; at < count; at++) {
        if (strcmp(arguments[at], "--listen") == 0 && at + 1 < count) {
            listen = arguments[++at];
        } else if (strcmp(arguments[at], "--tls") == 0 && at + 2 < count) {
            info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
            info.ssl_cert_filepath = arguments[++at];
            info.ssl_private_key_filepath = arguments[++at];
        } else {
            fprintf(stderr, "unknown argument '%s'\n", arguments[at]);
            return 64;
        }
    }
    colon = listen == NULL ? NULL : strrchr(listen, ':');
    if (colon == NULL || (size_t)(colon - listen) >= sizeof address) {
        fprintf(stderr, "--listen ADDRESS:PORT is missing\n");
        return 64;
    }
    memcpy(address, listen, (size_t)(colon - listen));
    address[colon - listen] = '\0';

    lws_set_log_level(LLL_ERR, NULL);
    info.iface = address;
    /* Port 0 would mean that nobody listens. */
    info.port = atoi(colon + 1);
    info.protocols = protocols;
    info.options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
    info.fd_limit_per_thread = 1100;
    context = lws_create_context(&info);
    if (context == NULL)
        return 1;
    host = lws_create_vhost(context, &info);
    if (host == NULL)
        return 1;
    signal(SIGTERM, end);
    printf("listening on %s:%d\n", address, lws_get_vhost_listen_port(host));
    fflush(stdout);
    while (!is_over && lws_service(context, 0) >= 0)
        ;
    lws_context_destroy(context);
    return 0;
}
