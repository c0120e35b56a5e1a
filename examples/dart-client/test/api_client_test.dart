import 'dart:convert';

import 'package:authserver_client/authserver_client.dart';
import 'package:http/http.dart' as http;
import 'package:http/testing.dart';
import 'package:test/test.dart';

void main() {
  late List<http.Request> calls;
  late String accepted;
  late AuthService auth;
  late ApiClient api;

  setUp(() async {
    calls = [];
    accepted = 'access 1';
    var count = 0;
    auth = AuthService(
      store: MemoryTokenStore(),
      client: MockClient((request) async {
        count++;
        return http.Response('{"access_token": "access $count", "refresh_token": "refresh $count", "expires_in": 900}', 200);
      }),
    );
    api = ApiClient(
      auth,
      client: MockClient((request) async {
        calls.add(request);
        return http.Response('{}', request.headers['Authorization'] == 'Bearer $accepted' ? 200 : 401);
      }),
    );
    await auth.login('user@example.com', 'password123');
  });

  test('a call carries the token', () async {
    final response = await api.get('/api/v1/sessions');

    expect(response.statusCode, 200);
    expect(calls.single.url, Uri.parse('http://localhost/api/v1/sessions'));
  });

  test('a refused call is sent once more, with a newer token and the same body', () async {
    accepted = 'access 2';

    final response = await api.post('/api/v1/sessions', {'title': 'first'});

    expect(response.statusCode, 200);
    expect(calls, hasLength(2));
    expect(calls.map((call) => call.body).toSet(), {jsonEncode({'title': 'first'})});
  });

  test('a call that is refused again is answered with 401', () async {
    accepted = 'none';

    final response = await api.get('/api/v1/sessions');

    expect(response.statusCode, 401);
    expect(calls, hasLength(2));
  });

  test('nobody is signed in: nothing is sent', () async {
    await auth.logout();

    await expectLater(api.get('/api/v1/sessions'), throwsA(isA<NotSignedIn>()));
    expect(calls, isEmpty);
  });

  test('another server never sees the token', () async {
    final others = <http.Request>[];
    final client = AuthInterceptor(
      MockClient((request) async {
        others.add(request);
        return http.Response('', 401);
      }),
      auth,
    );

    await client.get(Uri.parse('http://example.org/'));

    expect(others.single.headers.containsKey('Authorization'), isFalse);
  });
}
