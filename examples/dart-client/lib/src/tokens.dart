/// The tokens of one signed-in user, and where they are kept.
library;

import 'dart:convert';
import 'dart:math';

/// A pair of tokens. The server replaces both at each refresh.
class Tokens {
  const Tokens({
    required this.accessToken,
    required this.refreshToken,
    required this.idempotencyKey,
    required this.renewAt,
    required this.expiresAt,
  });

  /// From the answer of the token endpoint; null when it is none.
  static Tokens? fromAnswer(Map<String, dynamic> answer, {required DateTime now}) {
    if (answer
        case {
          'access_token': final String accessToken,
          'refresh_token': final String refreshToken,
          'expires_in': final int seconds,
        }) {
      return Tokens(
        accessToken: accessToken,
        refreshToken: refreshToken,
        idempotencyKey: _randomKey(),
        renewAt: now.add(renewalDelay(seconds)),
        expiresAt: now.add(Duration(seconds: seconds)),
      );
    }
    return null;
  }

  /// From what [toJson] has written.
  factory Tokens.fromJson(String text) {
    final fields = jsonDecode(text) as Map<String, dynamic>;
    return Tokens(
      accessToken: fields['access_token'] as String,
      refreshToken: fields['refresh_token'] as String,
      idempotencyKey: fields['idempotency_key'] as String,
      renewAt: DateTime.parse(fields['renew_at'] as String),
      expiresAt: DateTime.parse(fields['expires_at'] as String),
    );
  }

  final String accessToken;
  final String refreshToken;

  /// Of the refresh that spends [refreshToken]. It is kept with it, so that even an app
  /// that was killed before the answer came repeats that refresh and no other.
  final String idempotencyKey;

  final DateTime renewAt;
  final DateTime expiresAt;

  String toJson() => jsonEncode({
        'access_token': accessToken,
        'refresh_token': refreshToken,
        'idempotency_key': idempotencyKey,
        'renew_at': renewAt.toIso8601String(),
        'expires_at': expiresAt.toIso8601String(),
      });
}

/// When to renew a token that lives for so many seconds: a minute before its end, but not before its half.
Duration renewalDelay(int seconds) => Duration(seconds: seconds - min(60, seconds ~/ 2));

String _randomKey() {
  final random = Random.secure();
  return List.generate(16, (_) => random.nextInt(256).toRadixString(16).padLeft(2, '0')).join();
}

/// Where the tokens of the signed-in user are kept. Calls take effect in the order in which they are made.
abstract interface class TokenStore {
  Future<Tokens?> read();
  Future<void> write(Tokens tokens);
  Future<void> clear();
}

/// Forgets everything when the app ends: for tests.
class MemoryTokenStore implements TokenStore {
  Tokens? _tokens;

  @override
  Future<Tokens?> read() async => _tokens;

  @override
  Future<void> write(Tokens tokens) async => _tokens = tokens;

  @override
  Future<void> clear() async => _tokens = null;
}
