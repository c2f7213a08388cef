#include "ctl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <curl/curl.h>

#include "lib/utf8.h"
#include "lib/version.h"

#define CTL_MAX_REPLY  (16 * 1024 * 1024)
#define CTL_MAX_LINE   (64 * 1024)

static int ctl_setup(CURL *curl, const ctl_args_t *args, const char *path,
    char *error, size_t size);
static int ctl_authorize(CURL *curl, const ctl_args_t *args, char *error,
    size_t size);
static size_t ctl_write(char *data, size_t unit, size_t count, void *arg);
static void ctl_unreachable(const ctl_args_t *args, CURL *curl,
    CURLcode code, const char *detail, ctl_reply_t *reply);
static bool ctl_received(CURL *curl, ctl_reply_t *reply);
static void ctl_problem(ctl_reply_t *reply);


int
ctl_call(const ctl_args_t *args, const char *method, const char *path,
    const cJSON *body, ctl_reply_t *reply)
{
    char                *text, detail[CURL_ERROR_SIZE];
    CURL                *curl;
    CURLcode             code;
    struct curl_slist   *headers;

    memset(reply, 0, sizeof(*reply));
    detail[0] = '\0';
    text = NULL;
    headers = NULL;

    curl = curl_easy_init();
    if (curl == NULL) {
        goto memory;
    }

    if (ctl_setup(curl, args, path, reply->error, sizeof(reply->error))
        || ctl_authorize(curl, args, reply->error, sizeof(reply->error)))
    {
        goto done;
    }

    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ctl_write);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);

    if (body != NULL) {
        text = cJSON_PrintUnformatted(body);
        headers = curl_slist_append(NULL, "Content-Type: application/json");

        if (text == NULL || headers == NULL) {
            goto memory;
        }

        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    }

    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    code = curl_easy_perform(curl);

    if (code != CURLE_OK) {
        ctl_unreachable(args, curl, code, detail, reply);
        goto done;
    }

    if (ctl_received(curl, reply) && !cJSON_IsObject(reply->json)) {
        snprintf(reply->error, sizeof(reply->error), "%s does not answer "
                 "with JSON: is it canaryd?", args->server);
    }

    goto done;

memory:

    snprintf(reply->error, sizeof(reply->error), "out of memory");

done:

    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    cJSON_free(text);
    return reply->error[0] == '\0' ? 0 : CTL_FAILED;
}


int
ctl_ask(const ctl_args_t *args, const char *method, const char *path,
    const cJSON *body, ctl_reply_t *reply)
{
    int  rc;

    rc = ctl_call(args, method, path, body, reply);

    if (rc) {
        ctl_error("%s", reply->error);

    } else if (args->json) {
        printf("%s\n", reply->text);
    }

    return rc;
}


/* --- answers without an end --- */

typedef struct {
    CURL         *curl;
    ctl_reply_t  *reply;           /* what is not 2xx goes there */
    bool        (*got)(void *arg, const char *line);
    void         *arg;
    bool          stopped;
    size_t        used;
    char          line[CTL_MAX_LINE];
} ctl_lines_t;


static size_t
ctl_write_lines(char *data, size_t unit, size_t count, void *arg)
{
    long          status;
    size_t        i, len;
    ctl_lines_t  *lines = arg;

    len = unit * count;
    curl_easy_getinfo(lines->curl, CURLINFO_RESPONSE_CODE, &status);

    if (status < 200 || status > 299) {
        return ctl_write(data, unit, count, lines->reply);
    }

    for (i = 0; i < len && !lines->stopped; i++) {
        if (data[i] != '\n') {
            /* What is longer than any line that canaryd sends is cut. */
            if (lines->used < sizeof(lines->line) - 1) {
                lines->line[lines->used++] = data[i];
            }
            continue;
        }

        lines->line[lines->used] = '\0';
        lines->used = 0;
        lines->stopped = !lines->got(lines->arg, lines->line);
    }

    return lines->stopped ? 0 : len;
}


int
ctl_stream(const ctl_args_t *args, const char *path, const char *last,
    bool (*got)(void *arg, const char *line), void *arg, ctl_reply_t *reply)
{
    char                detail[CURL_ERROR_SIZE], header[256];
    CURL               *curl;
    CURLcode            code;
    ctl_lines_t        *lines;
    struct curl_slist  *headers;

    memset(reply, 0, sizeof(*reply));
    detail[0] = '\0';
    headers = NULL;
    curl = curl_easy_init();
    lines = calloc(1, sizeof(ctl_lines_t));

    if (curl == NULL || lines == NULL) {
        snprintf(reply->error, sizeof(reply->error), "out of memory");
        goto done;
    }

    lines->curl = curl;
    lines->reply = reply;
    lines->got = got;
    lines->arg = arg;

    if (ctl_setup(curl, args, path, reply->error, sizeof(reply->error))
        || ctl_authorize(curl, args, reply->error, sizeof(reply->error)))
    {
        goto done;
    }

    if (last != NULL) {
        snprintf(header, sizeof(header), "Last-Event-ID: %.200s", last);
        headers = curl_slist_append(NULL, header);
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }

    /* A heartbeat comes every ten seconds. */
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 0L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, args->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 30L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ctl_write_lines);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, lines);

    code = curl_easy_perform(curl);

    if (code != CURLE_OK && !lines->stopped) {
        ctl_unreachable(args, curl, code, detail, reply);
        goto done;
    }

    (void) ctl_received(curl, reply);

done:

    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(lines);
    return reply->error[0] == '\0' ? 0 : CTL_FAILED;
}


void
ctl_reply_free(ctl_reply_t *reply)
{
    free(reply->text);
    cJSON_Delete(reply->json);
    memset(reply, 0, sizeof(*reply));
}


int
ctl_rollout_path(const ctl_args_t *args, const char *tail, char *path,
    size_t size)
{
    int           rc;
    char          name[512];
    const char   *id;
    ctl_reply_t   reply;

    memset(&reply, 0, sizeof(reply));
    rc = CTL_USAGE;

    if ((args->count > 0) == (args->upstream != NULL)) {
        ctl_error("which rollout? give its ID, or --upstream NAME for the "
                  "latest one");
        return rc;
    }

    if (args->count > 0) {
        id = args->values[0];

    } else {
        if (ctl_escape(args->upstream, name, sizeof(name)) == NULL) {
            ctl_error("--upstream: the name is too long");
            return rc;
        }

        snprintf(path, size, "/v1/rollouts?limit=1&upstream=%s", name);
        rc = ctl_call(args, "GET", path, NULL, &reply);

        if (rc) {
            ctl_error("%s", reply.error);
            goto done;
        }

        id = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(
                 cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(
                     reply.json, "rollouts"), 0), "id"));

        if (id == NULL) {
            ctl_error("upstream %.64s has no rollout; canaryctl start makes "
                      "one", args->upstream);
            rc = CTL_FAILED;
            goto done;
        }
    }

    if (ctl_escape(id, name, sizeof(name)) == NULL || id[0] == '\0') {
        ctl_error("\"%.40s\" is not the ID of a rollout", id);
        rc = CTL_USAGE;
        goto done;
    }

    snprintf(path, size, "/v1/rollouts/%s%s", name, tail);
    rc = 0;

done:

    ctl_reply_free(&reply);
    return rc;
}


int
ctl_upstream_path(const ctl_args_t *args, const char *tail, char *path,
    size_t size)
{
    int          rc;
    char         name[512];
    const char  *upstream;

    upstream = ctl_upstream(args, true, &rc);
    if (rc) {
        return rc;
    }

    if (ctl_escape(upstream, name, sizeof(name)) == NULL) {
        ctl_error("the name of the upstream is too long");
        return CTL_USAGE;
    }

    snprintf(path, size, "/v1/upstreams/%s%s", name, tail);

    return 0;
}


const char *
ctl_upstream(const ctl_args_t *args, bool needed, int *rc)
{
    *rc = CTL_OK;

    if (args->count > 0 && args->upstream != NULL) {
        ctl_error("which upstream? give its name once");
        *rc = CTL_USAGE;
        return NULL;
    }

    if (args->count == 0 && args->upstream == NULL && needed) {
        ctl_error("which upstream? give its name; canaryctl weights lists "
                  "them");
        *rc = CTL_USAGE;
    }

    return args->count > 0 ? args->values[0] : args->upstream;
}


char *
ctl_escape(const char *text, char *buf, size_t size)
{
    size_t                used;
    const unsigned char  *p;

    used = 0;

    for (p = (const unsigned char *) text; *p != '\0'; p++) {
        if (used + 4 > size) {
            return NULL;
        }

        if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z')
            || (*p >= 'A' && *p <= 'Z') || *p == '-' || *p == '_'
            || (*p == '.' && used > 0))
        {
            buf[used++] = (char) *p;

        } else {
            used += (size_t) snprintf(buf + used, 4, "%%%02X", *p);
        }
    }

    buf[used] = '\0';
    return buf;
}


static int
ctl_setup(CURL *curl, const ctl_args_t *args, const char *path, char *error,
    size_t size)
{
    int          n;
    char         url[2048];
    size_t       len;
    const char  *server;

    server = args->server;
    len = strlen(server);

    if (strncmp(server, "unix:", 5) == 0) {
        if (curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, server + 5)
            != CURLE_OK)
        {
            snprintf(error, size, "out of memory");
            return -1;
        }

        n = snprintf(url, sizeof(url), "http://localhost%s", path);

    } else if (strncmp(server, "http://", 7) == 0
               || strncmp(server, "https://", 8) == 0)
    {
        while (len > 0 && server[len - 1] == '/') {
            len--;
        }

        n = snprintf(url, sizeof(url), "%.*s%s", (int) len, server, path);

    } else {
        snprintf(error, size, "--server %.100s: must be unix:/path, "
                 "http://HOST:PORT or https://HOST:PORT", server);
        return -1;
    }

    if (n < 0 || (size_t) n >= sizeof(url)) {
        snprintf(error, size, "the address is too long");
        return -1;
    }

    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, args->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "canaryctl/" CANARY_VERSION);

    if (curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK) {
        snprintf(error, size, "out of memory");
        return -1;
    }

    return 0;
}


/* The header is curl's own: it goes to this server only, and never into what
 * curl says. */
static int
ctl_authorize(CURL *curl, const ctl_args_t *args, char *error, size_t size)
{
    if (args->cacert != NULL
        && curl_easy_setopt(curl, CURLOPT_CAINFO, args->cacert) != CURLE_OK)
    {
        snprintf(error, size, "out of memory");
        return -1;
    }

    if (args->token == NULL) {
        return 0;
    }

    if (!ctl_secret_safe(args, error, size)) {
        return -1;
    }

    if (curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long) CURLAUTH_BEARER)
        != CURLE_OK
        || curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, args->token)
           != CURLE_OK)
    {
        snprintf(error, size, "out of memory");
        return -1;
    }

    return 0;
}


static size_t
ctl_write(char *data, size_t unit, size_t count, void *arg)
{
    char         *text;
    size_t        len;
    ctl_reply_t  *reply;

    reply = arg;
    len = unit * count;

    if (len > CTL_MAX_REPLY - reply->len) {
        return 0;
    }

    text = realloc(reply->text, reply->len + len + 1);
    if (text == NULL) {
        return 0;
    }

    memcpy(text + reply->len, data, len);
    reply->text = text;
    reply->len += len;
    text[reply->len] = '\0';
    return len;
}


static void
ctl_unreachable(const ctl_args_t *args, CURL *curl, CURLcode code,
    const char *detail, ctl_reply_t *reply)
{
    long         number;
    const char  *reason;

    number = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);

    if (code == CURLE_COULDNT_CONNECT && number != 0) {
        reason = strerror((int) number);

    } else {
        reason = detail[0] != '\0' ? detail : curl_easy_strerror(code);
    }

    if (code == CURLE_OPERATION_TIMEDOUT) {
        snprintf(reply->error, sizeof(reply->error), "no answer from canaryd "
                 "at %.150s in %ld ms (see --timeout)", args->server,
                 args->timeout_ms);
        return;
    }

    snprintf(reply->error, sizeof(reply->error),
             "cannot reach canaryd at %.150s: %.150s; %s%s", args->server,
             reason, number == EACCES
             ? "does this user belong to the socket's group?"
             : "is it running? use --server for another address",
             args->fell_back ? " (there is no " CTL_SOCKET ")" : "");
}


/* Status and JSON of an answer; false and the error if it is not a 2xx. */
static bool
ctl_received(CURL *curl, ctl_reply_t *reply)
{
    long  status;

    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    reply->status = (int) status;

    if (reply->text != NULL) {
        reply->json = cJSON_ParseWithLength(reply->text, reply->len);
    }

    if (status < 200 || status > 299) {
        ctl_problem(reply);
        return false;
    }

    return true;
}


/* "steps[0].weight: must be ... (422)" */
static void
ctl_problem(ctl_reply_t *reply)
{
    char  field[128], detail[300];

    print_string(reply->json, "field", "", field, sizeof(field));
    print_string(reply->json, "detail", "", detail, sizeof(detail));

    if (detail[0] == '\0') {
        print_string(reply->json, "title", "refused", detail, sizeof(detail));
    }

    snprintf(reply->error, sizeof(reply->error), "%s%s%s (%d)", field,
             field[0] != '\0' ? ": " : "", detail, reply->status);
}
