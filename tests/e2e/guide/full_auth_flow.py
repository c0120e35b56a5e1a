import pytest
from httpx import AsyncClient

@pytest.mark.asyncio
async def test_full_auth_flow():
    """Test complete authentication flow"""
    async with AsyncClient(base_url="http://localhost") as client:
        # 1. Login
        response = await client.post(
            "/oauth/token",
            data={
                "grant_type": "password",
                "username": "test@example.com",
                "password": "test123",
                "client_id": "test-client",
            }
        )
        assert response.status_code == 200
        
        tokens = response.json()
        access_token = tokens["access_token"]
        refresh_token = tokens["refresh_token"]
        
        # 2. Use access token
        response = await client.get(
            "/api/v1/sessions",
            headers={"Authorization": f"Bearer {access_token}"}
        )
        assert response.status_code == 200
        
        # 3. Refresh token
        response = await client.post(
            "/oauth/token",
            data={
                "grant_type": "refresh_token",
                "refresh_token": refresh_token,
                "client_id": "test-client",
            }
        )
        assert response.status_code == 200
        
        new_tokens = response.json()
        assert new_tokens["access_token"] != access_token
        assert new_tokens["refresh_token"] != refresh_token
