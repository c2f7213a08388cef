/*
 * A request to the REST API, from its first byte: the real server on a real
 * socket, with its gate and its handlers; Redis and nginx are away.  The
 * first byte chooses the listener: TCP, where Host and Origin are looked at,
 * or the unix socket.
 */

#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"
#include "api.h"
#include "auth/auth.h"
#include "controller.h"
#include "lib/http_gate.h"
#include "store.h"

#define FUZZ_TURNS   200
#define FUZZ_ANSWER  (64 * 1024)

static char                dir[] = "/tmp/fuzz_api.XXXXXX";
static char                sock[64];
static struct event_base  *base;
static store_t            *store;
static agent_t            *agent;
static controller_t       *controller;
static auth_t             *auth;
static api_t              *api;
static http_server_t      *server;
static config_t            config;


static void
fuzz_end(void)
{
    http_server_free(server);
    auth_free(auth);
    api_free(api);
    controller_free(controller);
    agent_free(agent);
    store_free(store);
    event_base_free(base);
    rmdir(dir);
}


int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char              address[80], error[512];
    store_options_t   options = { .host = "", .password = "",
                                  .prefix = "canary:", .node = "fuzz" };

    fuzz_check(mkdtemp(dir) != NULL);
    snprintf(sock, sizeof(sock), "%s/s", dir);
    snprintf(address, sizeof(address), "unix:%s", sock);

    strcpy(config.node, "fuzz");
    strcpy(config.prefix, "canary:");
    snprintf(config.nginx_socket, sizeof(config.nginx_socket), "%s/nginx",
             dir);
    strcpy(config.nginx_url, "http://localhost/");
    config.tick_ms = 60000;
    config.auth.failures = 10;
    options.socket = config.nginx_socket;

    base = event_base_new();
    store = store_new(base, NULL, &options);
    agent = agent_new(base, NULL, store, &config);
    controller = controller_new(base, NULL, store, agent, &config);
    auth = auth_new(base, NULL, &config.auth, error, sizeof(error));
    api = api_new(base, NULL, store, agent, controller, auth, &config);
    server = http_server_new(base, api_routes(), api, API_MAX_BODY);
    http_server_gate(server, api_gate);

    fuzz_check(http_server_listen(server, address, error, sizeof(error))
               == 0);
    fuzz_check(http_server_listen(server, "127.0.0.1:0", error,
                                  sizeof(error)) == 0);
    atexit(fuzz_end);

    return 0;
}


static int
fuzz_connect(int local)
{
    int                  fd, rc;
    struct linger        reset = { 1, 0 };
    struct sockaddr_in   sin;
    struct sockaddr_un   sun;

    if (local) {
        memset(&sun, 0, sizeof(sun));
        sun.sun_family = AF_UNIX;
        strcpy(sun.sun_path, sock);
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *) &sun, sizeof(sun));

    } else {
        memset(&sin, 0, sizeof(sin));
        sin.sin_family = AF_INET;
        sin.sin_port = htons((uint16_t) http_server_port(server));
        sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        rc = connect(fd, (struct sockaddr *) &sin, sizeof(sin));

        /* So many of them would use up all ports otherwise. */
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    }

    fuzz_check(fd != -1 && rc == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);

    return fd;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int          fd, i;
    size_t       sent, used;
    ssize_t      n;

    static char  answer[FUZZ_ANSWER + 1];

    if (size < 2) {
        return 0;
    }

    fd = fuzz_connect(data[0] & 1);
    data++;
    size--;
    sent = 0;
    used = 0;

    for (i = 0; i < FUZZ_TURNS; i++) {

        if (sent < size) {
            n = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
            sent = n > 0 ? sent + (size_t) n
                   : n == -1 && errno == EAGAIN ? sent : size;

            if (sent == size) {
                shutdown(fd, SHUT_WR);
            }
        }

        event_base_loop(base, EVLOOP_NONBLOCK);
        n = recv(fd, answer + used, FUZZ_ANSWER - used, 0);

        if (n == 0 || (n == -1 && errno != EAGAIN)) {
            break;
        }

        used += n > 0 ? (size_t) n : 0;
    }

    close(fd);
    event_base_loop(base, EVLOOP_NONBLOCK);
    answer[used] = '\0';

    /* Whatever it was, it is HTTP that is answered (evhttp repeats the
     * request's version), and no rollout starts without Redis. */
    fuzz_check(used == 0 || strncmp(answer, "HTTP/", 5) == 0);
    fuzz_check(strstr(answer, " 201 Created\r\n") == NULL);

    return 0;
}
