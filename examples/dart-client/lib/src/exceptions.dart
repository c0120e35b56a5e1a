/// What can go wrong, each in a class of its own.
library;

import 'dart:convert';

import 'package:http/http.dart' as http;

/// Everything that this package throws on purpose.
sealed class AuthException implements Exception {
  const AuthException(this.message);

  final String message;

  /// Whether the same request may well succeed a moment later.
  bool get isPassing => false;

  @override
  String toString() => '$runtimeType: $message';
}

/// Nobody is signed in, or the session has ended: show the sign-in page.
class NotSignedIn extends AuthException {
  const NotSignedIn() : super('nobody is signed in');
}

/// No answer arrived. Nobody is signed out for that.
class NetworkFailure extends AuthException {
  NetworkFailure(this.cause) : super('no answer: $cause');

  final Object cause;

  @override
  bool get isPassing => true;
}

/// The answer is none of this server's: another program answers at that address.
class UnexpectedAnswer extends AuthException {
  UnexpectedAnswer(this.statusCode) : super('an answer with status $statusCode that makes no sense');

  final int statusCode;

  @override
  bool get isPassing => true;
}

/// The WebSocket was closed with 4403: the newer token is another user's.
class WebSocketForbidden extends AuthException {
  const WebSocketForbidden(super.message);
}

/// The server said no. [error] is the code; [errorId] is what to tell its staff.
class Refusal extends AuthException {
  Refusal(this.error, super.message, {this.errorId, this.retryAfter});

  final String error;
  final String? errorId;
  final Duration? retryAfter;

  @override
  String toString() => '$error: $message (error_id $errorId)';
}

/// At sign-in: the user name or the password is wrong. At a refresh: the session has ended.
class InvalidGrant extends Refusal {
  InvalidGrant(super.error, super.message, {super.errorId});
}

/// Too many failed attempts; sign-in opens again at [lockedUntil]. Refreshing goes on.
class AccountLocked extends Refusal {
  AccountLocked(super.error, super.message, {super.errorId, super.retryAfter, this.lockedUntil});

  final DateTime? lockedUntil;
}

/// Too many requests from this address; try again after [retryAfter].
class RateLimited extends Refusal {
  RateLimited(super.error, super.message, {super.errorId, super.retryAfter});
}

/// The user has a second factor, or has to have one: sign in by browser.
class MfaRequired extends Refusal {
  MfaRequired(super.error, super.message, {super.errorId});
}

/// The server is overloaded, or its database is away.
class TemporarilyUnavailable extends Refusal {
  TemporarilyUnavailable(super.error, super.message, {super.errorId, super.retryAfter});

  @override
  bool get isPassing => true;
}

/// What an answer other than 200 means. The code decides, not the status: servers may be set to another one.
AuthException exceptionFrom(http.Response response) {
  final body = jsonObject(response);
  final error = body?['error'];
  if (body == null || error is! String) {
    return UnexpectedAnswer(response.statusCode);
  }
  final message = '${body['error_description'] ?? ''}';
  final id = body['error_id'];
  final errorId = id is String ? id : null;
  final retryAfter = _seconds(response.headers['retry-after']);
  return switch (error) {
    'invalid_grant' => InvalidGrant(error, message, errorId: errorId),
    'account_locked' => AccountLocked(error, message,
        errorId: errorId, retryAfter: retryAfter, lockedUntil: DateTime.tryParse('${body['locked_until']}')),
    'rate_limit_exceeded' => RateLimited(error, message, errorId: errorId, retryAfter: retryAfter),
    'mfa_required' => MfaRequired(error, message, errorId: errorId),
    'temporarily_unavailable' => TemporarilyUnavailable(error, message, errorId: errorId, retryAfter: retryAfter),
    _ => Refusal(error, message, errorId: errorId, retryAfter: retryAfter),
  };
}

/// The JSON object of an answer; null when it holds something else.
Map<String, dynamic>? jsonObject(http.Response response) {
  try {
    final Object? body = jsonDecode(utf8.decode(response.bodyBytes));
    return body is Map<String, dynamic> ? body : null;
  } on FormatException {
    return null;
  }
}

Duration? _seconds(String? text) {
  final seconds = int.tryParse(text ?? '');
  return seconds == null ? null : Duration(seconds: seconds);
}
