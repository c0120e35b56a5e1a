/// Tokens in the Keychain of iOS and macOS, and under a key of the Keystore on Android.
library;

import 'package:authserver_client/authserver_client.dart';
import 'package:flutter_secure_storage/flutter_secure_storage.dart';

/// Keeps all of them as one entry, so that no failure leaves half of them.
class SecureTokenStore implements TokenStore {
  const SecureTokenStore([this._storage = const FlutterSecureStorage()]);

  static const _entry = 'authserver_tokens';

  final FlutterSecureStorage _storage;

  @override
  Future<Tokens?> read() async {
    final text = await _storage.read(key: _entry);
    return text == null ? null : Tokens.fromJson(text);
  }

  @override
  Future<void> write(Tokens tokens) => _storage.write(key: _entry, value: tokens.toJson());

  @override
  Future<void> clear() => _storage.delete(key: _entry);
}
