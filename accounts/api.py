"""The JSON API of a user's own account."""

from typing import Any

from rest_framework import generics, serializers

from accounts.models import User


class ProfileSerializer(serializers.ModelSerializer[User]):
    roles = serializers.SlugRelatedField[Any](slug_field="name", many=True, read_only=True)
    second_factor = serializers.BooleanField(source="has_second_factor", read_only=True)

    class Meta:
        model = User
        fields = ("id", "username", "email", "name", "roles", "second_factor")
        read_only_fields = fields


class Profile(generics.RetrieveAPIView[User]):
    """GET /api/v1/me: who the token's user is."""

    required_scope = "api:read"
    serializer_class = ProfileSerializer

    def get_object(self) -> User:
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - for the type checker: the scope is of a user's token
        return user
