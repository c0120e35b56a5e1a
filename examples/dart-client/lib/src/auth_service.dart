/// Signing in, staying signed in, signing out.
library;

import 'dart:async';

import 'package:http/http.dart' as http;

import 'exceptions.dart';
import 'requests.dart';
import 'tokens.dart';

/// The one place of an app that holds tokens. Make one, and hand it to all who need it.
class AuthService {
  AuthService({
    required TokenStore store,
    String baseUrl = 'http://localhost',
    this.clientId = 'codelab-flutter-app',
    this.scope = 'api:read api:write',
    http.Client? client,
    DateTime Function()? now,
    Future<void> Function(Duration)? wait,
  })  : baseUrl = Uri.parse(baseUrl),
        _store = store,
        _client = client ?? http.Client(),
        _now = now ?? DateTime.now,
        _wait = wait ?? Future<void>.delayed;

  static const _timeout = Duration(seconds: 10);

  /// Between the attempts of a refresh. All of them, with their timeouts, end within the
  /// minute in which the server answers a repetition.
  static const _pauses = [Duration(milliseconds: 500), Duration(seconds: 2)];

  final Uri baseUrl;
  final String clientId;
  final String scope;
  final TokenStore _store;
  final http.Client _client;
  final DateTime Function() _now;
  final Future<void> Function(Duration) _wait;
  final _states = StreamController<bool>.broadcast();

  Tokens? _tokens;
  Future<String?>? _renewal;

  bool get isAuthenticated => _tokens != null;

  /// Says it when somebody signs in, and when the session has ended. Begin with [isAuthenticated].
  Stream<bool> get authStateStream => _states.stream;

  /// Loads what the last run of the app has kept.
  Future<void> init() async {
    _tokens = await _store.read();
    _announce();
  }

  /// Throws [InvalidGrant] for a wrong user name or password, [AccountLocked], [RateLimited],
  /// [MfaRequired] and [NetworkFailure]. It is sent once: each attempt counts.
  Future<void> login(String username, String password) async {
    await _keep(await _tokensFor(signIn, {'username': username, 'password': password, 'scope': scope}));
    _announce();
  }

  /// Forgets the tokens, then ends the session at the server. False when the server could not be told:
  /// the user is signed out here all the same.
  Future<bool> logout() async {
    final tokens = _tokens;
    if (tokens == null) {
      return true;
    }
    await _forget();
    try {
      await _patiently(() => _send(revoke, {'refresh_token': tokens.refreshToken}));
      return true;
    } on AuthException {
      return false;
    }
  }

  /// The access token, renewed when it ends within a minute; null when nobody is signed in.
  Future<String?> getValidAccessToken() async {
    final tokens = _tokens;
    if (tokens == null || _now().isBefore(tokens.renewAt)) {
      return tokens?.accessToken;
    }
    try {
      return await renewAccessToken(insteadOf: tokens.accessToken);
    } on AuthException {
      // There was still a minute: a server that is away for a moment stops nobody.
      if (identical(_tokens, tokens) && _now().isBefore(tokens.expiresAt)) {
        return tokens.accessToken;
      }
      rethrow;
    }
  }

  /// A token other than this one, which a server has refused or soon will; null when the session has ended.
  /// However many ask, one refresh is sent, and all get its token.
  Future<String?> renewAccessToken({required String insteadOf}) async {
    final tokens = _tokens;
    if (tokens == null || tokens.accessToken != insteadOf) {
      return tokens?.accessToken;
    }
    return _renewal ??= _renew(tokens).whenComplete(() {
      _renewal = null;
    });
  }

  void dispose() {
    _states.close();
    _client.close();
  }

  /// Only `invalid_grant` ends the session: everything else may pass.
  Future<String?> _renew(Tokens spent) async {
    final values = {'refresh_token': spent.refreshToken, 'idempotency_key': spent.idempotencyKey};
    try {
      final tokens = await _patiently(() => _tokensFor(refresh, values));
      // Who has signed out meanwhile stays signed out.
      if (identical(_tokens, spent)) {
        await _keep(tokens);
      }
    } on InvalidGrant {
      if (identical(_tokens, spent)) {
        await _forget();
      }
    }
    return _tokens?.accessToken;
  }

  Future<Tokens> _tokensFor(Call call, Map<String, String> values) async {
    final sentAt = _now();
    final response = await _send(call, values);
    final tokens = Tokens.fromAnswer(jsonObject(response) ?? const {}, now: sentAt);
    return tokens ?? (throw UnexpectedAnswer(response.statusCode));
  }

  Future<http.Response> _send(Call call, Map<String, String> values) async {
    final request = call.request(baseUrl, {...values, 'client_id': clientId});
    final http.Response response;
    try {
      response = await _client.send(request).then(http.Response.fromStream).timeout(_timeout);
    } on Exception catch (error) {
      throw NetworkFailure(error);
    }
    return response.statusCode == 200 ? response : throw exceptionFrom(response);
  }

  /// Repeats what failed for a reason that may pass.
  Future<T> _patiently<T>(Future<T> Function() attempt) async {
    for (final pause in _pauses) {
      try {
        return await attempt();
      } on AuthException catch (error) {
        if (!error.isPassing) {
          rethrow;
        }
      }
      await _wait(pause);
    }
    return attempt();
  }

  Future<void> _keep(Tokens tokens) async {
    _tokens = tokens;
    await _store.write(tokens);
  }

  Future<void> _forget() async {
    _tokens = null;
    _announce();
    await _store.clear();
  }

  void _announce() {
    if (!_states.isClosed) {
      _states.add(isAuthenticated);
    }
  }
}
