import 'dart:async';
import 'dart:convert';

import 'package:authserver_client/authserver_client.dart';
import 'package:http/http.dart' as http;
import 'package:http/testing.dart';
import 'package:test/test.dart';

/// Plays the token endpoint, and remembers what it was asked.
class Server {
  final requests = <http.Request>[];

  /// What to do instead of answering, once each.
  final failures = <Future<http.Response> Function()>[];

  int _count = 0;

  late final client = MockClient((request) async {
    requests.add(request);
    if (failures.isNotEmpty) {
      final answer = failures.removeAt(0);
      return answer();
    }
    if (request.url.path == '/oauth/revoke') {
      return http.Response('{}', 200);
    }
    _count++;
    return http.Response(
      jsonEncode({
        'access_token': 'access $_count',
        'token_type': 'Bearer',
        'refresh_token': 'refresh $_count',
        'expires_in': 900,
        'scope': 'api:read api:write',
      }),
      200,
    );
  });

  List<http.Request> get refreshes =>
      requests.where((request) => request.bodyFields['grant_type'] == 'refresh_token').toList();
}

Future<http.Response> Function() refusal(int status, Map<String, Object> body, {Map<String, String> headers = const {}}) =>
    () async => http.Response(jsonEncode(body), status, headers: headers);

Future<http.Response> silence() async => throw http.ClientException('connection reset');

void main() {
  late Server server;
  late MemoryTokenStore store;
  late DateTime now;

  AuthService makeService() => AuthService(
        store: store,
        client: server.client,
        now: () => now,
        wait: (_) async {},
      );

  Future<AuthService> signedIn() async {
    final auth = makeService();
    await auth.login('user@example.com', 'password123');
    return auth;
  }

  setUp(() {
    server = Server();
    store = MemoryTokenStore();
    now = DateTime.utc(2026, 1, 1, 12);
  });

  test('signing in keeps the tokens for the next run', () async {
    final auth = await signedIn();

    final next = makeService();
    await next.init();

    expect(auth.isAuthenticated, isTrue);
    expect(await next.getValidAccessToken(), 'access 1');
    expect(server.requests.single.bodyFields['client_id'], 'codelab-flutter-app');
  });

  test('a wrong password is told apart from a locked account', () async {
    final auth = makeService();
    server.failures
      ..add(refusal(400, {'error': 'invalid_grant', 'error_description': 'no', 'error_id': 'abc'}))
      ..add(refusal(403, {'error': 'account_locked', 'locked_until': '2026-01-01T12:15:00Z'}, headers: {'retry-after': '900'}));

    await expectLater(
      auth.login('user@example.com', 'wrong'),
      throwsA(isA<InvalidGrant>().having((error) => error.errorId, 'errorId', 'abc')),
    );
    await expectLater(
      auth.login('user@example.com', 'wrong'),
      throwsA(isA<AccountLocked>()
          .having((error) => error.lockedUntil, 'lockedUntil', DateTime.utc(2026, 1, 1, 12, 15))
          .having((error) => error.retryAfter, 'retryAfter', const Duration(minutes: 15))),
    );
    expect(auth.isAuthenticated, isFalse);
  });

  test('a token is renewed one minute before its end, and not earlier', () async {
    final auth = await signedIn();

    now = now.add(const Duration(minutes: 13, seconds: 59));
    expect(await auth.getValidAccessToken(), 'access 1');
    now = now.add(const Duration(seconds: 1));
    expect(await auth.getValidAccessToken(), 'access 2');
  });

  test('many who ask at once share one refresh', () async {
    final auth = await signedIn();
    now = now.add(const Duration(minutes: 15));

    final tokens = await Future.wait(List.generate(10, (_) => auth.getValidAccessToken()));

    expect(tokens.toSet(), {'access 2'});
    expect(server.refreshes, hasLength(1));
  });

  test('a refresh whose answer was lost is repeated with the same key', () async {
    final auth = await signedIn();
    now = now.add(const Duration(minutes: 15));
    server.failures.add(silence);

    expect(await auth.getValidAccessToken(), 'access 2');

    final keys = server.refreshes.map((request) => request.headers['Idempotency-Key']).toList();
    expect(keys, hasLength(2));
    expect(keys.toSet(), hasLength(1));
    expect(keys.first, hasLength(32));
  });

  test('the key outlives the app, and each refresh has its own', () async {
    final auth = await signedIn();
    now = now.add(const Duration(minutes: 15));
    server.failures.addAll([silence, silence, silence]);
    await expectLater(auth.getValidAccessToken(), throwsA(isA<NetworkFailure>()));

    final next = makeService();
    await next.init();
    await next.getValidAccessToken();
    now = now.add(const Duration(minutes: 15));
    await next.getValidAccessToken();

    final keys = server.refreshes.map((request) => request.headers['Idempotency-Key']).toList();
    expect(keys.take(4).toSet(), hasLength(1));
    expect(keys.last, isNot(keys.first));
  });

  test('a server that is away signs nobody out, and the old token is used while it lives', () async {
    final auth = await signedIn();
    now = now.add(const Duration(minutes: 14, seconds: 30));
    server.failures.addAll([silence, refusal(503, {'error': 'temporarily_unavailable'}), silence]);

    expect(await auth.getValidAccessToken(), 'access 1');
    expect(auth.isAuthenticated, isTrue);
  });

  test('invalid_grant at a refresh ends the session, and says so', () async {
    final auth = await signedIn();
    final states = <bool>[];
    auth.authStateStream.listen(states.add);
    now = now.add(const Duration(minutes: 15));
    server.failures.add(refusal(401, {'error': 'invalid_grant'}));

    expect(await auth.getValidAccessToken(), isNull);

    await pumpEventQueue();
    expect(states, [false]);
    expect(await store.read(), isNull);
  });

  test('signing out ends the session at the server', () async {
    final auth = await signedIn();

    expect(await auth.logout(), isTrue);

    expect(auth.isAuthenticated, isFalse);
    expect(await store.read(), isNull);
    expect(server.requests.last.url.path, '/oauth/revoke');
    expect(server.requests.last.bodyFields['token'], 'refresh 1');
  });

  test('who signs out while a refresh is under way stays signed out', () async {
    final auth = await signedIn();
    now = now.add(const Duration(minutes: 15));
    final answer = Completer<http.Response>();
    server.failures.add(() => answer.future);
    final token = auth.getValidAccessToken();
    await pumpEventQueue();

    await auth.logout();
    answer.complete(http.Response('{"access_token": "late", "refresh_token": "late", "expires_in": 900}', 200));

    expect(await token, isNull);
    expect(auth.isAuthenticated, isFalse);
    expect(await store.read(), isNull);
  });
}
