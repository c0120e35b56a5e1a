import httpx
from datetime import datetime, timedelta
from typing import Optional

class AuthClient:
    def __init__(
        self,
        base_url: str = "http://localhost",
        client_id: str = "codelab-python-client"
    ):
        self.base_url = base_url
        self.client_id = client_id
        self.client = httpx.AsyncClient()
        
        self.access_token: Optional[str] = None
        self.refresh_token: Optional[str] = None
        self.token_expiry: Optional[datetime] = None
    
    async def login(self, username: str, password: str) -> bool:
        """Login and obtain tokens"""
        try:
            response = await self.client.post(
                f"{self.base_url}/oauth/token",
                data={
                    "grant_type": "password",
                    "username": username,
                    "password": password,
                    "client_id": self.client_id,
                    "scope": "api:read api:write",
                },
            )
            response.raise_for_status()
            
            data = response.json()
            self._save_tokens(data)
            return True
            
        except httpx.HTTPStatusError as e:
            print(f"Login failed: {e.response.json()}")
            return False
    
    async def get_valid_token(self) -> Optional[str]:
        """Get valid access token, refresh if needed"""
        if not self.access_token or not self.refresh_token:
            return None
        
        # Check if token is about to expire (1 minute buffer)
        if self.token_expiry and datetime.now() >= self.token_expiry - timedelta(minutes=1):
            refreshed = await self._refresh_token()
            if not refreshed:
                return None
        
        return self.access_token
    
    async def _refresh_token(self) -> bool:
        """Refresh access token"""
        if not self.refresh_token:
            return False
        
        try:
            response = await self.client.post(
                f"{self.base_url}/oauth/token",
                data={
                    "grant_type": "refresh_token",
                    "refresh_token": self.refresh_token,
                    "client_id": self.client_id,
                },
            )
            response.raise_for_status()
            
            data = response.json()
            self._save_tokens(data)
            return True
            
        except httpx.HTTPStatusError:
            # Refresh token invalid, need to login again
            self.access_token = None
            self.refresh_token = None
            self.token_expiry = None
            return False
    
    def _save_tokens(self, data: dict):
        """Save tokens from response"""
        self.access_token = data['access_token']
        self.refresh_token = data['refresh_token']
        
        expires_in = data['expires_in']
        self.token_expiry = datetime.now() + timedelta(seconds=expires_in)
    
    async def close(self):
        """Close HTTP client"""
        await self.client.aclose()
