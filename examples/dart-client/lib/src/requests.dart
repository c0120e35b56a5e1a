/// All that is sent to a server, as data: what is in braces is filled in when it is sent.
library;

import 'package:http/http.dart' as http;

final _placeholder = RegExp(r'\{(\w+)\}');

/// One request. Its [form], where it has one, is sent URL-encoded in UTF-8.
class Call {
  const Call(this.method, this.path, {this.headers = const {}, this.form = const {}});

  final String method;
  final String path;
  final Map<String, String> headers;
  final Map<String, String> form;

  /// The address below [baseUrl]; the values that go into the path are escaped.
  Uri url(Uri baseUrl, Map<String, String> values) {
    final escaped = values.map((name, value) => MapEntry(name, Uri.encodeComponent(value)));
    return baseUrl.resolve(_filled(path, escaped));
  }

  /// The request to send to [baseUrl], good for one sending.
  http.Request request(Uri baseUrl, Map<String, String> values) {
    final request = http.Request(method, url(baseUrl, values));
    request.headers.addAll(filled(headers, values));
    if (form.isNotEmpty) {
      request.bodyFields = filled(form, values);
    }
    return request;
  }
}

/// These fields with their [values]. A value is taken as it is, whatever is in it.
Map<String, String> filled(Map<String, String> fields, Map<String, String> values) =>
    fields.map((name, text) => MapEntry(name, _filled(text, values)));

String _filled(String text, Map<String, String> values) =>
    text.replaceAllMapped(_placeholder, (match) => values[match.group(1)!]!);

const signIn = Call('POST', '/oauth/token', form: {
  'grant_type': 'password',
  'username': '{username}',
  'password': '{password}',
  'client_id': '{client_id}',
  'scope': '{scope}',
});

/// The key is the same for each repetition: a repetition within a minute gets the same refresh token once more.
const refresh = Call('POST', '/oauth/token', headers: {
  'Idempotency-Key': '{idempotency_key}',
}, form: {
  'grant_type': 'refresh_token',
  'refresh_token': '{refresh_token}',
  'client_id': '{client_id}',
});

const revoke = Call('POST', '/oauth/revoke', form: {
  'token': '{refresh_token}',
  'client_id': '{client_id}',
});

const openWebSocket = Call('GET', '/api/v1/ws/{session_id}', headers: {
  'Authorization': 'Bearer {access_token}',
});

/// What every request of an API carries.
const bearer = {
  'Authorization': 'Bearer {access_token}',
};

/// The message by which a connection goes on with a newer token.
const authenticate = {
  'type': 'authenticate',
  'access_token': '{access_token}',
};
