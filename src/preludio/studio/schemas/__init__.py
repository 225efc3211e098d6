"""What the studio's API receives (`requests`) and returns (`responses`), as pydantic models."""
