"""More layers that are right and look wrong, in the manner of tricky_layers.py."""

import copy
import math
from collections import OrderedDict
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import jvp
from torch.nn.utils import parametrizations, prune, rnn

GENERATOR = torch.Generator().manual_seed(21)
_ENTRIES = []


def _normal(*shape):
    return torch.randn(*shape, generator=GENERATOR)


def _integers(end, *shape):
    return torch.randint(0, end, shape, generator=GENERATOR)


def add(make, *inputs, name=None):
    """Remember how to build a layer, and what to feed it."""
    _ENTRIES.append((name or make.__name__, make, inputs))


class ResidualVQ(nn.Module):
    """Three codebooks in turn, each for what the last one left; gradients go straight through."""

    def __init__(self, n=3, k=6, d=4):
        super().__init__()
        self.books = nn.Parameter(torch.randn(n, k, d))

    def forward(self, x):
        res, out, codes = x, torch.zeros_like(x), []
        for book in self.books:
            i = torch.cdist(res.detach().flatten(0, -2), book).argmin(-1).view(x.shape[:-1])
            q = book[i]
            out = out + q
            res = res - q.detach()
            codes.append(i)
        commit = (x - out.detach()).pow(2).mean() + (out - x.detach()).pow(2).mean()
        return x + (out - x).detach(), torch.stack(codes, -1), commit


add(ResidualVQ, _normal(3, 5, 4))


class FSQ(nn.Module):
    """Finite scalar quantization: rounding with a straight-through gradient."""

    def __init__(self, levels=(5, 5, 3)):
        super().__init__()
        self.register_buffer("width", (torch.tensor(levels) - 1) / 2)
        self.inp = nn.Linear(6, 3)
        self.out = nn.Linear(3, 6)

    def forward(self, x):
        z = self.inp(x).tanh() * self.width
        q = z + (z.round() - z).detach()
        return self.out(q / self.width)


add(FSQ, _normal(4, 6))


class GumbelVQ(nn.Module):
    """Draws codes in training, takes the likeliest in eval mode."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Linear(6, 8)
        self.book = nn.Embedding(8, 5)

    def forward(self, x):
        logits = self.logits(x)
        w = (
            F.gumbel_softmax(logits, tau=0.7, hard=True)
            if self.training
            else F.one_hot(logits.argmax(-1), 8).to(logits.dtype)
        )
        return w @ self.book.weight


add(GumbelVQ, _normal(4, 6))


class ProductQuantizer(nn.Module):
    """A hard choice forward, the softmax's gradient backward, in two groups."""

    def __init__(self):
        super().__init__()
        self.books = nn.Parameter(torch.randn(2, 5, 3))

    def forward(self, x):
        z = x.view(*x.shape[:-1], 2, 3)
        d = (z.unsqueeze(-2) - self.books).pow(2).sum(-1)
        p = (-d).softmax(-1)
        hard = F.one_hot(d.argmin(-1), 5).to(p.dtype)
        w = hard + p - p.detach()
        return torch.einsum("...gk,gkd->...gd", w, self.books).flatten(-2)


add(ProductQuantizer, _normal(4, 6))


class ClippedSTE(torch.autograd.Function):
    """Rounds to a few bits; the gradient passes where nothing was clipped."""

    @staticmethod
    def forward(ctx, x, bits):
        ctx.save_for_backward(x)
        s = 2**bits - 1
        return (x.clamp(0, 1) * s).round() / s

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ((x >= 0) & (x <= 1)).to(g.dtype), None


class DoReFa(nn.Module):
    """Weights and activations of two bits."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, x):
        w = self.conv.weight.tanh()
        w = w / (2 * w.abs().max()) + 0.5
        w = 2 * ClippedSTE.apply(w, 2) - 1
        return ClippedSTE.apply(self.bn(F.conv2d(x, w, self.conv.bias, padding=1)), 2)


add(DoReFa, _normal(3, 3, 6, 6))


class FakeQuantLinear(nn.Module):
    """LSQ: a learned step whose gradient is scaled, and a range that training observes."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 5)
        self.step = nn.Parameter(torch.tensor(0.1))
        self.register_buffer("amax", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.amax.copy_(torch.maximum(self.amax * 0.99, x.detach().abs().max()))
        g = 1 / math.sqrt(self.lin.weight.numel() * 7)
        s = (self.step - self.step * g).detach() + self.step * g
        v = (self.lin.weight / s).clamp(-8, 7)
        w = (v + (v.round() - v).detach()) * s
        return F.linear(x, w, self.lin.bias)


add(FakeQuantLinear, _normal(4, 6))


class WeightStdConv(nn.Conv2d):
    """Standardises its weight in each call, and keeps the raw one."""

    def forward(self, x):
        w = self.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.var((1, 2, 3), keepdim=True) + 1e-5).sqrt()
        return self._conv_forward(x, w, self.bias)


add(lambda: WeightStdConv(3, 4, 3), _normal(2, 3, 5, 5), name="WeightStdConv")
add(
    lambda: nn.Sequential(
        parametrizations.orthogonal(nn.Linear(6, 6)),
        nn.Tanh(),
        parametrizations.weight_norm(nn.Linear(6, 3)),
    ),
    _normal(4, 6),
    name="OrthoThenWeightNorm",
)


def pruned():
    """Masks of torch.nn.utils.prune."""
    m = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    prune.l1_unstructured(m[0], "weight", 0.5)
    prune.random_structured(m[2], "weight", 0.3, dim=1)
    return m


add(pruned, _normal(4, 6))


class MaskedLinear(nn.Module):
    """MADE: masks as buffers let each output see earlier inputs only."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(8, 5)
        m1 = torch.arange(5)
        m2 = torch.arange(8) % 4
        self.register_buffer("ma", (m2[:, None] >= m1).float())
        self.register_buffer("mb", (m1[:, None] > m2).float())

    def forward(self, x):
        return F.linear(
            F.linear(x, self.a.weight * self.ma, self.a.bias).relu(),
            self.b.weight * self.mb,
            self.b.bias,
        )


add(MaskedLinear, _normal(4, 5))


class LoraMergeGuarded(nn.Module):
    """eval() merges the low-rank part into a frozen weight, train() takes it out again."""

    def __init__(self, d=6, r=2):
        super().__init__()
        self.w = nn.Parameter(torch.randn(d, d) / 3, requires_grad=False)
        self.a = nn.Parameter(torch.randn(r, d))
        self.b = nn.Parameter(torch.zeros(d, r))
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            sign = -1 if mode else 1
            self.w.data.add_(self.b.data @ self.a.data, alpha=sign)
            self.merged = not mode
        return self

    def forward(self, x):
        y = x @ self.w.t()
        return y if self.merged else y + x @ self.a.t() @ self.b.t()


add(LoraMergeGuarded, _normal(4, 6))


class HyperConv(nn.Module):
    """A linear layer writes the weights of the convolution."""

    def __init__(self):
        super().__init__()
        self.gen = nn.Linear(5, 4 * 3 * 9)
        self.z = nn.Parameter(torch.randn(5))

    def forward(self, x):
        return F.conv2d(x, self.gen(self.z).view(4, 3, 3, 3) * 0.2, padding=1)


add(HyperConv, _normal(2, 3, 5, 5))


class FiLM(nn.Module):
    """A condition scales and shifts; it starts as the identity."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4, affine=False)
        self.c = nn.Linear(5, 8)
        nn.init.zeros_(self.c.weight)
        nn.init.zeros_(self.c.bias)

    def forward(self, x, cond):
        g, b = self.c(cond)[..., None, None].chunk(2, 1)
        return F.relu(self.bn(self.conv(x)) * (1 + g) + b)


add(FiLM, _normal(3, 3, 5, 5), _normal(3, 5))


class SqueezeExcite(nn.Module):
    """Activations work in place, on tensors that the layer made itself."""

    def __init__(self, c=8):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Conv2d(c, 2, 1),
            nn.SiLU(inplace=True),
            nn.Conv2d(2, c, 1),
            nn.Hardsigmoid(inplace=True),
        )

    def forward(self, x):
        return x * self.fc(F.adaptive_avg_pool2d(x, 1))


add(SqueezeExcite, _normal(2, 8, 5, 5))


class Involution(nn.Module):
    """A kernel for each pixel, applied to unfolded neighbourhoods."""

    def __init__(self):
        super().__init__()
        self.k = nn.Conv2d(4, 2 * 9, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        k = self.k(x).view(b, 2, 1, 9, h, w)
        u = F.unfold(x, 3, padding=1).view(b, 2, 2, 9, h, w)
        return (k * u).sum(3).view(b, c, h, w)


add(Involution, _normal(2, 4, 5, 5))


class DeformableConv(nn.Module):
    """Samples where it says itself; offsets start at zero."""

    def __init__(self):
        super().__init__()
        self.off = nn.Conv2d(3, 2, 3, padding=1)
        nn.init.zeros_(self.off.weight)
        nn.init.zeros_(self.off.bias)
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        height, width = x.shape[-2:]
        gy, gx = torch.meshgrid(
            torch.linspace(-1, 1, height, device=x.device, dtype=x.dtype),
            torch.linspace(-1, 1, width, device=x.device, dtype=x.dtype),
            indexing="ij",
        )
        return self.conv(
            F.grid_sample(
                x,
                torch.stack([gx, gy], -1) + self.off(x).permute(0, 2, 3, 1),
                align_corners=True,
                padding_mode="border",
            )
        )


add(DeformableConv, _normal(2, 3, 5, 5))
add(
    lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 12, 1), nn.PixelShuffle(2)),
    _normal(2, 3, 6, 6),
    name="PixelShuffles",
)


class SwitchMoE(nn.Module):
    """Top-1 routing with a capacity: the tokens of a batch compete for places."""

    def __init__(self, d=6, e=3, cap=1.25):
        super().__init__()
        self.r = nn.Linear(d, e)
        self.up = nn.Parameter(torch.randn(e, d, 8) / 3)
        self.down = nn.Parameter(torch.randn(e, 8, d) / 3)
        self.cap = cap

    def forward(self, x):
        f = x.flatten(0, -2)
        p = self.r(f).softmax(-1)
        g, i = p.max(-1)
        e = p.shape[-1]
        c = max(1, int(self.cap * len(f) / e))
        one = F.one_hot(i, e)
        place = one.cumsum(0) * one - 1
        keep = (place < c) & (place >= 0)
        d = F.one_hot(place.clamp(0, c - 1), c).to(f.dtype) * keep.unsqueeze(-1).to(f.dtype)
        slots = torch.einsum("nec,nd->ecd", d, f)
        y = torch.einsum(
            "ech,ehd->ecd", torch.einsum("ecd,edh->ech", slots, self.up).relu(), self.down
        )
        out = torch.einsum("nec,ecd->nd", d, y) * g[:, None]
        aux = (one.to(f.dtype).mean(0) * p.mean(0)).sum() * e
        return x + out.view_as(x), aux


add(SwitchMoE, _normal(2, 5, 6))


class SoftMoE(nn.Module):
    """Slots are mixtures of all tokens of a sequence."""

    def __init__(self, d=6, s=4):
        super().__init__()
        self.phi = nn.Parameter(torch.randn(d, s) / 2)
        self.experts = nn.ModuleList(nn.Linear(d, d) for _ in range(s))

    def forward(self, x):
        logits = x @ self.phi
        slots = logits.softmax(1).transpose(1, 2) @ x
        y = torch.stack([e(slots[:, i]) for i, e in enumerate(self.experts)], 1)
        return logits.softmax(-1) @ y


add(SoftMoE, _normal(2, 5, 6))


class ExpertChoice(nn.Module):
    """Each expert takes the tokens that it likes best, of each sequence."""

    def __init__(self, d=6, e=3, k=2):
        super().__init__()
        self.r = nn.Linear(d, e, bias=False)
        self.w = nn.Parameter(torch.randn(e, d, d) / 3)
        self.k = k

    def forward(self, x):
        s = self.r(x).softmax(-1).transpose(1, 2)
        g, i = s.topk(self.k, -1)
        t = (
            x.unsqueeze(1)
            .expand(-1, 3, -1, -1)
            .gather(2, i[..., None].expand(-1, -1, -1, x.shape[-1]))
        )
        y = torch.einsum("bekd,edf->bekf", t, self.w) * g[..., None]
        return x + torch.zeros_like(x).scatter_add(
            1, i.flatten(1)[..., None].expand(-1, -1, x.shape[-1]), y.flatten(1, 2)
        )


add(ExpertChoice, _normal(2, 5, 6))


class KVCacheBuffers(nn.Module):
    """Grows buffers that are not saved, but only when it is asked to."""

    def __init__(self, d=6, n=16):
        super().__init__()
        self.qkv = nn.Linear(d, 3 * d)
        self.register_buffer("k", torch.zeros(0, 0, d), persistent=False)
        self.register_buffer("v", torch.zeros(0, 0, d), persistent=False)

    def forward(self, x, use_cache=False):
        q, k, v = self.qkv(x).chunk(3, -1)
        if use_cache:
            if self.k.shape[0] == k.shape[0]:
                k, v = torch.cat([self.k, k], 1), torch.cat([self.v, v], 1)
            self.k, self.v = k.detach(), v.detach()
        t, s = q.shape[1], k.shape[1]
        m = torch.ones(t, s, dtype=torch.bool, device=x.device).tril(s - t)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=m)


add(KVCacheBuffers, _normal(2, 5, 6))


class StreamingConv(nn.Module):
    """Carries a tail from call to call once it is switched to streaming."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3)
        self.register_buffer("tail", torch.zeros(1, 3, 2), persistent=False)
        self.streaming = False

    def forward(self, x):
        if not self.streaming:
            return self.conv(F.pad(x, (2, 0)))
        x = torch.cat([self.tail.expand(len(x), -1, -1), x], -1)
        self.tail = x[..., -2:].detach()
        return self.conv(x)


add(StreamingConv, _normal(2, 3, 7))


class SwinBlock(nn.Module):
    """Shifted windows, a mask for the seams, a table of relative positions."""

    def __init__(self, d=6, w=4, shift=2):
        super().__init__()
        self.w, self.shift = w, shift
        self.n = nn.LayerNorm(d)
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.table = nn.Parameter(torch.zeros((2 * w - 1) ** 2, 2))
        nn.init.trunc_normal_(self.table, std=0.02)
        c = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(w), indexing="ij")).flatten(1)
        r = (c[:, :, None] - c[:, None]).permute(1, 2, 0) + w - 1
        self.register_buffer("index", r[..., 0] * (2 * w - 1) + r[..., 1], persistent=False)

    def _mask(self, h, w, device):
        img = torch.zeros(h, w, device=device)
        n = 0
        for a in (slice(0, -self.w), slice(-self.w, -self.shift), slice(-self.shift, None)):
            for b in (slice(0, -self.w), slice(-self.w, -self.shift), slice(-self.shift, None)):
                img[a, b] = n
                n += 1
        z = (
            img.view(h // self.w, self.w, w // self.w, self.w)
            .transpose(1, 2)
            .reshape(-1, self.w**2)
        )
        return z[:, None] == z[:, :, None]

    def forward(self, x):
        b, h, w, d = x.shape
        m = self.w
        y = self.n(x).roll((-self.shift, -self.shift), (1, 2))
        y = y.view(b, h // m, m, w // m, m, d).transpose(2, 3).reshape(-1, m * m, d)
        q, k, v = self.qkv(y).view(len(y), m * m, 3, 2, d // 2).permute(2, 0, 3, 1, 4)
        a = q @ k.transpose(-1, -2) * (d // 2) ** -0.5 + self.table[self.index.view(-1)].view(
            m * m, m * m, 2
        ).permute(2, 0, 1)
        a = (
            a.view(b, -1, 2, m * m, m * m)
            .masked_fill(
                ~self._mask(h, w, x.device)[None, :, None],
                -1e4 if a.dtype != torch.float16 else -6e4,
            )
            .view_as(a)
            .softmax(-1)
        )
        y = (
            self.out((a @ v).transpose(1, 2).reshape(-1, m * m, d))
            .view(b, h // m, w // m, m, m, d)
            .transpose(2, 3)
            .reshape(b, h, w, d)
        )
        return x + y.roll((self.shift, self.shift), (1, 2))


add(SwinBlock, _normal(2, 8, 8, 6))


class PlainIndexBias(nn.Module):
    """The index of a table is a plain tensor; it may stay on the CPU."""

    def __init__(self, t=5, d=6):
        super().__init__()
        self.qk = nn.Linear(d, 2 * d)
        self.table = nn.Parameter(torch.randn(2 * t - 1) * 0.02)
        i = torch.arange(t)
        self.index = i[:, None] - i[None] + t - 1

    def forward(self, x):
        q, k = self.qk(x).chunk(2, -1)
        return (q @ k.transpose(1, 2) / 6**0.5 + self.table[self.index]).softmax(-1) @ x


add(PlainIndexBias, _normal(2, 5, 6))


class AlibiCausal(nn.Module):
    """Linear biases and minus infinity for the future."""

    def __init__(self, d=8, h=2):
        super().__init__()
        self.h = h
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.register_buffer("slopes", torch.tensor([0.5, 0.25]))

    def forward(self, x):
        b, t = x.shape[:2]
        q, k, v = self.qkv(x).view(b, t, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        p = torch.arange(t, device=x.device)
        bias = (
            (self.slopes[:, None, None] * (p[None] - p[:, None]))
            .masked_fill(p[None] > p[:, None], float("-inf"))
            .to(x.dtype)
        )
        return self.out(
            F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)
        )


add(AlibiCausal, _normal(2, 5, 8))
add(AlibiCausal, _normal(1, 1, 8), name="AlibiCausal/1x1")


class LinearAttention(nn.Module):
    """Causal by cumulative sums along the sequence."""

    def __init__(self, d=6):
        super().__init__()
        self.qkv = nn.Linear(d, 3 * d)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        s = torch.einsum("btd,bte->btde", k, v).cumsum(1)
        return torch.einsum("btd,btde->bte", q, s) / (
            torch.einsum("btd,btd->bt", q, k.cumsum(1))[..., None] + 1e-6
        )


add(LinearAttention, _normal(2, 5, 6))


class Perceiver(nn.Module):
    """Latents ask a padded sequence."""

    def __init__(self, d=6):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(4, d))
        self.cross = nn.MultiheadAttention(d, 2, batch_first=True)
        self.self_ = nn.TransformerEncoderLayer(d, 2, 12, batch_first=True, dropout=0.1)

    def forward(self, x, pad=None):
        latents = self.latents.expand(x.shape[0], -1, -1)
        latents = latents + self.cross(latents, x, x, key_padding_mask=pad, need_weights=False)[0]
        return self.self_(latents)


PADM = torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]]).bool()
add(Perceiver, _normal(3, 5, 6), PADM)
add(Perceiver, _normal(2, 5, 6), name="Perceiver/nomask")


class SetTransformer(nn.Module):
    """Inducing points and pooling by attention."""

    def __init__(self, d=6):
        super().__init__()
        self.ind = nn.Parameter(torch.empty(1, 3, d))
        nn.init.xavier_uniform_(self.ind)
        self.a, self.b = (nn.MultiheadAttention(d, 2, batch_first=True) for _ in range(2))
        self.seed = nn.Parameter(torch.randn(1, 1, d))
        self.p = nn.MultiheadAttention(d, 2, batch_first=True)

    def forward(self, x):
        n = len(x)
        h = self.a(self.ind.expand(n, -1, -1), x, x)[0]
        h = x + self.b(x, h, h)[0]
        return self.p(self.seed.expand(n, -1, -1), h, h)[0].squeeze(1)


add(SetTransformer, _normal(3, 5, 6))


class EagerMask(nn.Module):
    """A row without a valid position gives zeros."""

    def __init__(self, d=6):
        super().__init__()
        self.s = nn.Linear(d, 1)

    def forward(self, x, mask):
        w = self.s(x)[..., 0].masked_fill(~mask, float("-inf"))
        empty = ~mask.any(-1, keepdim=True)
        w = w.masked_fill(empty, 0.0).softmax(-1) * mask
        return (w[..., None] * x).sum(1)


add(EagerMask, _normal(3, 5, 6), ~PADM)


class EvoNormS0(nn.Module):
    """Group statistics and a gate."""

    def __init__(self, c=4, g=2):
        super().__init__()
        self.g = g
        self.v, self.gain, self.bias = (
            nn.Parameter(torch.ones(1, c, 1, 1)),
            nn.Parameter(torch.ones(1, c, 1, 1)),
            nn.Parameter(torch.zeros(1, c, 1, 1)),
        )

    def forward(self, x):
        n, c = x.shape[:2]
        s = (
            (x.reshape(n, self.g, -1).var(-1, keepdim=True, unbiased=False) + 1e-5)
            .sqrt()
            .expand(-1, -1, c // self.g)
            .reshape(n, c, 1, 1)
        )
        return x * torch.sigmoid(self.v * x) / s * self.gain + self.bias


add(EvoNormS0, _normal(2, 4, 5, 5))


class BatchRenorm(nn.Module):
    """Batch statistics, corrected by running ones without gradients."""

    def __init__(self, c=5):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))
        self.register_buffer("m", torch.zeros(c))
        self.register_buffer("s", torch.ones(c))

    def forward(self, x):
        if self.training:
            mu, sd = x.mean(0), (x.var(0, unbiased=False) + 1e-5).sqrt()
            r = (sd / self.s).detach().clamp(1 / 3, 3)
            d = ((mu - self.m) / self.s).detach().clamp(-5, 5)
            y = (x - mu) / sd * r + d
            with torch.no_grad():
                self.m.lerp_(mu, 0.1)
                self.s.lerp_(sd, 0.1)
        else:
            y = (x - self.m) / self.s
        return y * self.w + self.b


add(BatchRenorm, _normal(6, 5))


class GhostBatchNorm(nn.Module):
    """Normalises parts of a training batch on their own."""

    def __init__(self, c=5, v=4):
        super().__init__()
        self.bn = nn.BatchNorm1d(c)
        self.v = v

    def forward(self, x):
        if self.training and len(x) > self.v:
            return torch.cat([self.bn(p) for p in x.chunk(max(1, len(x) // self.v))])
        return self.bn(x)


add(GhostBatchNorm, _normal(8, 5))


class RmsNorm(nn.Module):
    """Computes in float32 and returns what it was given."""

    def __init__(self, d=6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        h = x.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * h.to(x.dtype)


add(RmsNorm, _normal(3, 6))
add(
    lambda: nn.Sequential(nn.Linear(6, 6), RmsNorm(), nn.Linear(6, 6)).double(),
    _normal(3, 6).double(),
    name="RmsNormDouble",
)


class AdaLNZero(nn.Module):
    """DiT: a branch behind a gate that starts at zero."""

    def __init__(self, d=6):
        super().__init__()
        self.n = nn.LayerNorm(d, elementwise_affine=False)
        self.m = nn.Linear(d, 3 * d)
        nn.init.zeros_(self.m.weight)
        nn.init.zeros_(self.m.bias)
        self.f = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Linear(d, d))

    def forward(self, x, c):
        s, b, g = self.m(F.silu(c)).unsqueeze(1).chunk(3, -1)
        return x + g * self.f(self.n(x) * (1 + s) + b)


add(AdaLNZero, _normal(2, 5, 6), _normal(2, 6))


class ActNorm(nn.Module):
    """The first training batch sets its parameters, a buffer says so."""

    def __init__(self, c=4):
        super().__init__()
        self.ls, self.b = nn.Parameter(torch.zeros(c)), nn.Parameter(torch.zeros(c))
        self.register_buffer("done", torch.tensor(False))

    def forward(self, x):
        if self.training and not self.done:
            with torch.no_grad():
                self.b.copy_(-x.mean((0, 2, 3)))
                self.ls.copy_(-x.std((0, 2, 3)).add(1e-6).log())
                self.done.fill_(True)
        n = x.shape[2] * x.shape[3]
        return (x + self.b[:, None, None]) * self.ls.exp()[:, None, None], (
            self.ls.sum() * n
        ).expand(x.shape[0])


add(ActNorm, _normal(4, 4, 3, 3))


class InvConv1x1(nn.Module):
    """Glow: a rotation of channels and the log-determinant of each sample."""

    def __init__(self, c=4):
        super().__init__()
        self.w = nn.Parameter(torch.linalg.qr(torch.randn(c, c))[0])

    def forward(self, x):
        ld = torch.linalg.slogdet(self.w.float())[1].to(x.dtype) * x.shape[2] * x.shape[3]
        return F.conv2d(x, self.w[..., None, None]), ld.expand(len(x))


add(InvConv1x1, _normal(2, 4, 3, 3))


class RealNVP(nn.Module):
    """A coupling with an alternating mask."""

    def __init__(self, d=6):
        super().__init__()
        self.register_buffer("mask", (torch.arange(d) % 2).float())
        self.s = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), nn.Linear(8, d), nn.Tanh())
        self.t = nn.Linear(d, d)

    def forward(self, x, reverse=False):
        m = self.mask
        xm = x * m
        s, t = self.s(xm) * (1 - m), self.t(xm) * (1 - m)
        return (
            ((x - t) * torch.exp(-s), -s.sum(-1)) if reverse else (x * torch.exp(s) + t, s.sum(-1))
        )


add(RealNVP, _normal(3, 6))


class VaeKlOnSelf(nn.Module):
    """Samples in training only; the divergence stays on self as a number."""

    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(6, 6)
        self.dec = nn.Linear(3, 6)
        self.kl = 0.0

    def forward(self, x):
        m, lv = self.enc(x).chunk(2, -1)
        self.kl = float((-0.5 * (1 + lv - m * m - lv.exp())).detach().sum(-1).mean())
        return self.dec(m + torch.randn_like(m) * (0.5 * lv).exp() if self.training else m), m, lv


add(VaeKlOnSelf, _normal(4, 6))


class ProjectionGan(nn.Module):
    """A critic with a class embedding."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2, inplace=True))
        self.linear = nn.Linear(8, 1)
        self.e = nn.Embedding(5, 8)

    def forward(self, x, y):
        h = self.f(x)
        return self.linear(h).squeeze(-1) + (h * self.e(y)).sum(-1)


add(ProjectionGan, _normal(4, 6), _integers(5, 4))


class ArcFace(nn.Module):
    """The margin depends on labels."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(5, 6))
        self.m, self.s = 0.3, 8.0

    def forward(self, x, labels):
        c = F.linear(F.normalize(x), F.normalize(self.w)).clamp(-1 + 1e-4, 1 - 1e-4)
        t = torch.cos(torch.acos(c) + self.m)
        o = F.one_hot(labels, 5).to(c.dtype)
        return self.s * (o * t + (1 - o) * c)


add(ArcFace, _normal(4, 6), _integers(5, 4))


class CenterLoss(nn.Module):
    """Distances to a centre for each class; some classes are missing."""

    def __init__(self):
        super().__init__()
        self.c = nn.Parameter(torch.randn(5, 6))

    def forward(self, x, y):
        return (x - self.c[y]).pow(2).sum(-1).mean() / 2


add(CenterLoss, _normal(4, 6), _integers(3, 4))


class TripletLoss(nn.Module):
    """Looks for the hardest pairs of a batch."""

    def forward(self, x, y):
        d = (torch.cdist(x, x).pow(2) + 1e-8).sqrt()
        same = y[:, None] == y
        pos = d.masked_fill(~same, 0).amax(1)
        neg = d.masked_fill(same, 1e4).amin(1)
        return F.relu(pos - neg + 0.3).mean()


add(TripletLoss, _normal(6, 4), torch.tensor([0, 0, 1, 1, 2, 2]))


class FocalLoss(nn.Module):
    """Weights easy samples down."""

    def forward(self, x, y):
        ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
        return ((1 - torch.exp(-ce)) ** 2 * ce).mean()


add(FocalLoss, _normal(4, 3), (_normal(4, 3) > 0).float())


class DiceLoss(nn.Module):
    """Overlap with a smoothing term."""

    def forward(self, x, y):
        p = x.sigmoid().flatten(1)
        y = y.flatten(1)
        return (1 - (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()


add(DiceLoss, _normal(3, 1, 4, 4), (_normal(3, 1, 4, 4) > 0).float())


class CtcHead(nn.Module):
    """A bidirectional network and the CTC loss."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 6, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(12, 5)

    def forward(self, x, t, xl, tl):
        lp = self.fc(self.rnn(x)[0]).log_softmax(-1).transpose(0, 1)
        return F.ctc_loss(lp, t, xl, tl, zero_infinity=True)


add(CtcHead, _normal(2, 8, 4), _integers(4, 2, 3) + 1, torch.tensor([8, 7]), torch.tensor([3, 2]))


class HungarianLoss(nn.Module):
    """Tries all assignments in Python, and sums the cheapest."""

    def forward(self, p, t):
        loss = p.new_zeros(())
        for a, b in zip(p, t, strict=True):
            cost = (a[:, None] - b[None]).abs().sum(-1)
            with torch.no_grad():
                best = min(
                    permutations(range(len(a))),
                    key=lambda q: float(sum(cost[i, j] for i, j in enumerate(q))),
                )
            loss = loss + sum(cost[i, j] for i, j in enumerate(best))
        return loss / len(p)


add(HungarianLoss, _normal(2, 3, 4), _normal(2, 3, 4))


class AdaptiveSoftmax(nn.Module):
    """Rare classes have layers of their own."""

    def __init__(self):
        super().__init__()
        self.s = nn.AdaptiveLogSoftmaxWithLoss(6, 12, [4, 8], div_value=2.0)

    def forward(self, x, y):
        return self.s(x, y).loss


add(AdaptiveSoftmax, _normal(6, 6), torch.tensor([0, 3, 5, 7, 9, 11]))
add(AdaptiveSoftmax, _normal(4, 6), torch.tensor([0, 3, 2, 1]), name="AdaptiveSoftmax/headonly")


class Crf(nn.Module):
    """The forward algorithm over tags, with a mask."""

    def __init__(self, k=4):
        super().__init__()
        self.em = nn.Linear(6, k)
        self.tr = nn.Parameter(torch.randn(k, k) * 0.1)
        self.start = nn.Parameter(torch.zeros(k))

    def forward(self, x, tags, mask):
        e = self.em(x)
        a = self.start + e[:, 0]
        sc = self.start[tags[:, 0]] + e[:, 0].gather(1, tags[:, :1])[:, 0]
        for t in range(1, x.shape[1]):
            n = (a[:, :, None] + self.tr + e[:, t, None]).logsumexp(1)
            m = mask[:, t]
            a = torch.where(m[:, None], n, a)
            sc = (
                sc
                + (
                    self.tr[tags[:, t - 1], tags[:, t]]
                    + e[:, t].gather(1, tags[:, t : t + 1])[:, 0]
                )
                * m
            )
        return a.logsumexp(1) - sc


add(Crf, _normal(3, 5, 6), _integers(4, 3, 5), ~PADM)


class Viterbi(nn.Module):
    """The best path and its score."""

    def __init__(self, k=4):
        super().__init__()
        self.em = nn.Linear(6, k)
        self.tr = nn.Parameter(torch.randn(k, k))

    def forward(self, x):
        e = self.em(x)
        a, back = e[:, 0], []
        for t in range(1, x.shape[1]):
            s, i = (a[:, :, None] + self.tr).max(1)
            a = s + e[:, t]
            back.append(i)
        best, i = a.max(-1)
        path = [i]
        for b in reversed(back):
            i = b.gather(1, i[:, None])[:, 0]
            path.append(i)
        return best, torch.stack(path[::-1], 1)


add(Viterbi, _normal(3, 4, 6))


class GreedyDecoder(nn.Module):
    """Feeds its own choices back."""

    def __init__(self, v=7):
        super().__init__()
        self.e = nn.Embedding(v, 5)
        self.c = nn.GRUCell(5, 6)
        self.o = nn.Linear(6, v)
        self.h0 = nn.Linear(6, 6)

    def forward(self, x, steps: int = 4):
        h = self.h0(x)
        t = torch.zeros(len(x), dtype=torch.long, device=x.device)
        out = []
        for _ in range(steps):
            h = self.c(self.e(t), h)
            logits = self.o(h)
            t = logits.argmax(-1)
            out.append(logits)
        return torch.stack(out, 1)


add(GreedyDecoder, _normal(3, 6))


class OdeBlock(nn.Module):
    """Runge-Kutta steps, and a counter of evaluations."""

    def __init__(self, n=4):
        super().__init__()
        self.f = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))
        self.n = n
        self.nfe = 0

    def ode(self, x):
        self.nfe += 1
        return self.f(x)

    def forward(self, x):
        h = 1 / self.n
        self.nfe = 0
        for _ in range(self.n):
            a = self.ode(x)
            b = self.ode(x + h / 2 * a)
            c = self.ode(x + h / 2 * b)
            d = self.ode(x + h * c)
            x = x + h / 6 * (a + 2 * b + 2 * c + d)
        return x


add(OdeBlock, _normal(3, 6))


class DEQ(nn.Module):
    """A fixed point without graph, and one step with it."""

    def __init__(self):
        super().__init__()
        self.w = nn.Linear(5, 5)
        nn.init.orthogonal_(self.w.weight, 0.3)
        self.u = nn.Linear(6, 5)

    def forward(self, x):
        u = self.u(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(40):
                z = torch.tanh(self.w(z) + u)
        return torch.tanh(self.w(z) + u)


add(DEQ, _normal(3, 6))


class DEQImplicit(nn.Module):
    """A fixed point whose gradient a hook solves for."""

    def __init__(self):
        super().__init__()
        self.w = nn.Linear(5, 5)
        nn.init.orthogonal_(self.w.weight, 0.2)
        self.u = nn.Linear(6, 5)

    def forward(self, x):
        u = self.u(x)
        z = torch.zeros_like(u)
        with torch.no_grad():
            for _ in range(60):
                z = torch.tanh(self.w(z) + u)
        z = torch.tanh(self.w(z) + u)
        if z.requires_grad:
            z0 = z.detach().requires_grad_()
            f0 = torch.tanh(self.w(z0) + u)

            def solve(g):
                y = g
                for _ in range(60):
                    y = torch.autograd.grad(f0, z0, y, retain_graph=True)[0] + g
                return y

            z.register_hook(solve)
        return z


add(DEQImplicit, _normal(3, 6))


class S4D(nn.Module):
    """A diagonal state space as a convolution in the frequency domain."""

    def __init__(self, d=4, n=3):
        super().__init__()
        self.logA = nn.Parameter(torch.log(0.5 * torch.ones(d, n)))
        self.im = nn.Parameter(math.pi * torch.arange(n).float().repeat(d, 1))
        self.C = nn.Parameter(torch.randn(d, n, 2) / 2)
        self.dt = nn.Parameter(torch.rand(d) * 2 - 4)
        self.D = nn.Parameter(torch.randn(d))

    def forward(self, x):
        t = x.shape[-1]
        a = -self.logA.exp() + 1j * self.im
        dt = self.dt.exp()
        da = a * dt[:, None]
        c = torch.view_as_complex(self.C) * (da.exp() - 1) / a
        k = (
            2
            * torch.einsum(
                "dn,dnl->dl", c, torch.exp(da[..., None] * torch.arange(t, device=x.device))
            ).real
        )
        y = torch.fft.irfft(torch.fft.rfft(x, 2 * t) * torch.fft.rfft(k, 2 * t), 2 * t)[..., :t]
        return F.gelu(y + x * self.D[:, None])


add(S4D, _normal(2, 4, 9))


class MambaScan(nn.Module):
    """A selective scan, step by step."""

    def __init__(self, d=4, n=3):
        super().__init__()
        self.A = nn.Parameter(torch.log(torch.arange(1, n + 1).float().repeat(d, 1)))
        self.p = nn.Linear(d, 2 * n + d)
        self.D = nn.Parameter(torch.ones(d))
        self.conv = nn.Conv1d(d, d, 3, groups=d, padding=2)

    def forward(self, x):
        x = F.silu(self.conv(x.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2))
        B, C, dt = self.p(x).split([3, 3, 4], -1)
        dt = F.softplus(dt)
        h = x.new_zeros(len(x), 4, 3)
        out = []
        for t in range(x.shape[1]):
            h = (
                torch.exp(dt[:, t, :, None] * -self.A.exp()) * h
                + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
            )
            out.append((h * C[:, t, None]).sum(-1))
        return torch.stack(out, 1) + self.D * x


add(MambaScan, _normal(2, 6, 4))

EDGES = torch.tensor([[0, 1, 2, 3, 0, 4, 2], [1, 2, 3, 0, 2, 1, 4]])


class Gat(nn.Module):
    """A softmax over the neighbours of each node."""

    def __init__(self, d=6):
        super().__init__()
        self.w = nn.Linear(d, d, bias=False)
        self.a = nn.Parameter(torch.randn(2, d) / 3)

    def forward(self, x, edge_index):
        s, t = edge_index
        h = self.w(x)
        e = F.leaky_relu((h @ self.a[0])[s] + (h @ self.a[1])[t], 0.2)
        m = torch.full((len(x),), float("-inf"), dtype=e.dtype, device=e.device).scatter_reduce(
            0, t, e.detach(), "amax"
        )
        p = (e - m[t]).exp()
        z = torch.zeros_like(m).index_add(0, t, p)
        return torch.zeros_like(h).index_add(0, t, (p / z[t].clamp_min(1e-6))[:, None] * h[s])


add(Gat, _normal(5, 6), EDGES)


class TreeLstm(nn.Module):
    """Recursion over a tree that is given as a list of parents."""

    def __init__(self, d=4):
        super().__init__()
        self.iou = nn.Linear(2 * d, 3 * d)
        self.f = nn.Linear(2 * d, d)

    def forward(self, x, parents):
        n, d = x.shape
        h, c = [None] * n, [None] * n
        par = parents.tolist()
        kids = [[k for k in range(n) if par[k] == i] for i in range(n)]
        for i in reversed(range(n)):
            hs = sum((h[k] for k in kids[i]), x.new_zeros(d))
            a, o, u = self.iou(torch.cat([x[i], hs])).chunk(3)
            c[i] = a.sigmoid() * u.tanh() + sum(
                (self.f(torch.cat([x[i], h[k]])).sigmoid() * c[k] for k in kids[i]), x.new_zeros(d)
            )
            h[i] = o.sigmoid() * c[i].tanh()
        return h[0]


add(TreeLstm, _normal(6, 4), torch.tensor([-1, 0, 0, 1, 1, 2]))


class GraphPool(nn.Module):
    """Several graphs in one list of nodes."""

    def __init__(self, d=6):
        super().__init__()
        self.m = nn.Linear(d, d)
        self.bn = nn.BatchNorm1d(d)
        self.o = nn.Linear(d, 2)

    def forward(self, x, edges, batch):
        h = F.relu(self.bn(x + torch.zeros_like(x).index_add(0, edges[1], self.m(x)[edges[0]])))
        n = int(batch.max()) + 1
        s = h.new_zeros(n, h.shape[1]).index_add(0, batch, h)
        c = torch.bincount(batch, minlength=n).clamp_min(1)
        return self.o(s / c[:, None].to(s.dtype))


add(GraphPool, _normal(5, 6), EDGES, torch.tensor([0, 0, 0, 1, 1]))


class FourierFeatures(nn.Module):
    """Random frequencies in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", torch.randn(3, 8) * 2)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        z = 2 * math.pi * x @ self.b
        return self.fc(torch.cat([z.sin(), z.cos()], -1))


add(FourierFeatures, _normal(4, 3))


class Quaternion(nn.Module):
    """One block of weights in four places."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 3, 2) / 2)

    def forward(self, x):
        r, i, j, k = self.w
        h = torch.cat(
            [
                torch.cat([r, -i, -j, -k], 1),
                torch.cat([i, r, -k, j], 1),
                torch.cat([j, k, r, -i], 1),
                torch.cat([k, -j, i, r], 1),
            ]
        )
        return x @ h.t()


add(Quaternion, _normal(3, 8))


class ComplexConv(nn.Module):
    """Complex input, real weights, complex bias."""

    def __init__(self):
        super().__init__()
        self.re, self.im = nn.Conv1d(2, 3, 3, bias=False), nn.Conv1d(2, 3, 3, bias=False)
        self.b = nn.Parameter(torch.zeros(3, 1, dtype=torch.cfloat))

    def forward(self, z):
        return (
            torch.complex(self.re(z.real) - self.im(z.imag), self.re(z.imag) + self.im(z.real))
            + self.b
        )


add(ComplexConv, torch.complex(_normal(2, 2, 7), _normal(2, 2, 7)))


class Bags(nn.Module):
    """Bags of words by offsets."""

    def __init__(self):
        super().__init__()
        self.e = nn.EmbeddingBag(12, 5, mode="sum", sparse=False)
        self.fc = nn.Linear(5, 2)

    def forward(self, ids, offsets):
        return self.fc(self.e(ids, offsets))


add(Bags, _integers(12, 9), torch.tensor([0, 3, 7]))
add(lambda: nn.EmbeddingBag(12, 5, mode="max"), _integers(12, 3, 4), name="BagMax")
add(
    lambda: nn.Embedding(12, 5, sparse=True, padding_idx=0),
    _integers(12, 3, 4),
    name="SparseEmbedding",
)


class Ema(nn.Module):
    """Training uses the live weights, eval mode their average."""

    def __init__(self):
        super().__init__()
        self.live = nn.Linear(6, 3)
        self.avg = copy.deepcopy(self.live).requires_grad_(False)

    @torch.no_grad()
    def update(self, d=0.99):
        for a, p in zip(self.avg.parameters(), self.live.parameters(), strict=True):
            a.lerp_(p, 1 - d)

    def forward(self, x):
        return (self.live if self.training else self.avg)(x)


add(Ema, _normal(4, 6))


class PreHook(nn.Module):
    """Hooks of its own change the input and note the size of gradients."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)
        self.fc.register_forward_pre_hook(self._scale)
        self.fc.register_full_backward_hook(self._log)
        self.seen = 0.0

    def _scale(self, m, a):
        return (a[0] * 0.5,)

    def _log(self, m, gi, go):
        self.seen = float(go[0].norm())

    def forward(self, x):
        return self.fc(x).tanh()


add(PreHook, _normal(4, 6))


class ScaleGrad(torch.autograd.Function):
    """Identity forward, a factor backward."""

    @staticmethod
    def forward(ctx, x, s):
        ctx.s = s
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.s, None


class GradScaled(nn.Module):
    """wav2vec: small gradients for the feature extractor."""

    def __init__(self):
        super().__init__()
        self.f = nn.Conv1d(2, 4, 3)
        self.n = nn.GroupNorm(1, 4)
        self.h = nn.Conv1d(4, 3, 1)

    def forward(self, x):
        return self.h(self.n(ScaleGrad.apply(self.f(x), 0.1)))


add(GradScaled, _normal(2, 2, 8))


class DetachScale(nn.Module):
    """The same by detach."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(5, 5)
        self.h = nn.Linear(5, 2)

    def forward(self, x):
        y = self.f(x)
        return self.h(y * 0.1 + y.detach() * 0.9)


add(DetachScale, _normal(3, 5))


class Dispatch(nn.Module):
    """A word chooses the head."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"a": nn.Linear(5, 2), "b": nn.Linear(5, 3)})

    def forward(self, x, task="a"):
        return self.heads[task](x)


add(Dispatch, _normal(3, 5))
add(Dispatch, _normal(3, 5), "b", name="Dispatch/pos")


@dataclass
class Out:
    """What DataclassOut returns."""

    logits: torch.Tensor
    hidden: torch.Tensor
    aux: object = None


class DataclassOut(nn.Module):
    """Returns a dataclass with an empty field."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 6), nn.Linear(6, 3)

    def forward(self, x, return_aux=False):
        h = self.a(x).relu()
        return Out(self.b(h), h, h.mean() if return_aux else None)


add(DataclassOut, _normal(3, 5))


class States(NamedTuple):
    """What NamedOut returns."""

    y: torch.Tensor
    states: tuple


class NamedOut(nn.Module):
    """Returns a named tuple with all states."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))

    def forward(self, x):
        s = []
        for layer in self.layers:
            x = x + layer(x).relu()
            s.append(x)
        return States(x, tuple(s))


add(NamedOut, _normal(2, 5))


class Packed(nn.Module):
    """Takes and returns packed sequences."""

    def __init__(self):
        super().__init__()
        self.g = nn.LSTM(4, 5, batch_first=True)

    def forward(self, p):
        return self.g(p)[0]


add(Packed, rnn.pack_padded_sequence(_normal(3, 5, 4), torch.tensor([5, 3, 2]), batch_first=True))


class Flags(nn.Module):
    """Optional arguments of several kinds."""

    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x, context=None, mask=None, need_weights=False, scale=None):
        c = x if context is None else context
        a = self.q(x) @ self.k(c).transpose(-1, -2) * (scale or 6**-0.5)
        if mask is not None:
            a = a + mask
        a = a.softmax(-1)
        y = a @ c
        return (y, a) if need_weights else y


add(Flags, _normal(2, 4, 6), _normal(2, 5, 6), name="Flags/context")
add(Flags, _normal(4, 6), name="Flags/unbatched")


class OwnGenerator(nn.Module):
    """Draws from a generator whose state is saved."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)
        self.g = torch.Generator().manual_seed(5)

    def get_extra_state(self):
        return self.g.get_state()

    def set_extra_state(self, s):
        self.g.set_state(s.cpu())

    def forward(self, x):
        y = self.fc(x)
        return (
            y + 0.1 * torch.randn(y.shape, generator=self.g, dtype=torch.float32).to(y)
            if self.training
            else y
        )


add(OwnGenerator, _normal(3, 5))


class Counter(nn.Module):
    """Counts calls and notes norms; nothing depends on them."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)
        self.calls = 0
        self.norms = []
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        y = self.fc(x)
        self.norms = [*self.norms[-9:], float(y.detach().norm())]
        if self.training:
            self.steps += 1
        return y


add(Counter, _normal(3, 5))


class Same(nn.Module):
    """Returns its input."""

    def forward(self, x):
        return x


add(Same, _normal(3, 5))
add(Same, _integers(5, 3), name="Same/int")
add(nn.Sequential, _normal(3, 5), name="EmptySequential")
add(nn.Identity, _normal(3, 5), name="Identity")
add(nn.Flatten, _normal(3, 2, 2), name="Flatten")


class DropPath(nn.Module):
    """Leaves the branch out at random."""

    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6))
        self.p = 0.5

    def forward(self, x):
        if self.training and torch.rand(()) < self.p:
            return x
        return x + self.f(x) / (1 if not self.training else 1 - self.p)


add(DropPath, _normal(3, 6))


class UnsummedBias(torch.autograd.Function):
    """Autograd sums a gradient to the shape of its input."""

    @staticmethod
    def forward(ctx, x, b):
        return x + b

    @staticmethod
    def backward(ctx, g):
        return g, g


class BiasLayer(nn.Module):
    """Leaves the sum over the batch to autograd."""

    def __init__(self):
        super().__init__()
        self.b = nn.Parameter(torch.randn(5))

    def forward(self, x):
        return UnsummedBias.apply(x, self.b)


add(BiasLayer, _normal(3, 5))


class OnceDiff(torch.autograd.Function):
    """Says that it cannot be differentiated twice."""

    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * (1 - y * y)


class OnceLayer(nn.Module):
    """Uses a function that can be differentiated once."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 4)

    def forward(self, x):
        return OnceDiff.apply(self.f(x))


add(OnceLayer, _normal(3, 4))


class ReversibleBlock(nn.Module):
    """Two halves in turn."""

    def __init__(self):
        super().__init__()
        self.f, self.g = nn.Sequential(nn.Linear(3, 3), nn.Tanh()), nn.Linear(3, 3)

    def forward(self, x):
        a, b = x.chunk(2, -1)
        a = a + self.f(b)
        b = b + self.g(a)
        return torch.cat([a, b], -1)


add(ReversibleBlock, _normal(3, 6))


class MultiScale(nn.Module):
    """A list of maps in, an ordered dict of maps out."""

    def __init__(self):
        super().__init__()
        self.lat = nn.ModuleList(nn.Conv2d(c, 4, 1) for c in (3, 5))
        self.out = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))

    def forward(self, xs):
        maps = [f(x) for f, x in zip(self.lat, xs, strict=True)]
        maps[0] = maps[0] + F.interpolate(maps[1], size=maps[0].shape[-2:], mode="nearest")
        return OrderedDict(
            (f"p{i}", o(y)) for i, (o, y) in enumerate(zip(self.out, maps, strict=True))
        )


add(MultiScale, [_normal(2, 3, 8, 8), _normal(2, 5, 4, 4)])


class FrozenBn(nn.Module):
    """Statistics that nothing updates."""

    def __init__(self):
        super().__init__()
        self.c = nn.Conv2d(3, 4, 3, bias=False)
        [
            self.register_buffer(n, v)
            for n, v in (
                ("w", torch.rand(4) + 0.5),
                ("b", torch.randn(4)),
                ("m", torch.randn(4)),
                ("v", torch.rand(4) + 0.5),
            )
        ]

    def forward(self, x):
        s = self.w * (self.v + 1e-5).rsqrt()
        return self.c(x) * s.view(1, -1, 1, 1) + (self.b - self.m * s).view(1, -1, 1, 1)


add(FrozenBn, _normal(2, 3, 5, 5))


class NoParamsCosine(nn.Module):
    """Two vectors, one number."""

    def forward(self, a, b):
        return F.cosine_similarity(a, b, dim=-1)


add(NoParamsCosine, _normal(1, 5), _normal(1, 5))


class Siamese(nn.Module):
    """The same trunk for two inputs."""

    def __init__(self):
        super().__init__()
        self.e = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, a, b):
        return (self.e(a) - self.e(b)).abs().sum(-1)


add(Siamese, _normal(4, 5), _normal(4, 5))


class SimSiam(nn.Module):
    """Stops the gradient on one side at a time."""

    def __init__(self):
        super().__init__()
        self.f, self.h = nn.Linear(5, 4), nn.Linear(4, 4)

    def forward(self, a, b):
        za, zb = self.f(a), self.f(b)
        return (
            -F.cosine_similarity(self.h(za), zb.detach()).mean() / 2
            - F.cosine_similarity(self.h(zb), za.detach()).mean() / 2
        )


add(SimSiam, _normal(4, 5), _normal(4, 5))


class SortPool(nn.Module):
    """Sorts items, and keeps three."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(4, 3)

    def forward(self, x):
        return self.f(x.sort(1, descending=True).values[:, :3]).flatten(1)


add(SortPool, _normal(2, 6, 4))


class TimeDistributed(nn.Module):
    """Folds time into the batch."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        y = self.inner(x.flatten(0, 1))
        return y.unflatten(0, x.shape[:2])


add(
    lambda: TimeDistributed(
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.LazyLinear(4))
    ),
    _normal(2, 3, 2, 5, 5),
    name="TimeDistributedLazy",
)


class WeightDrop(nn.Module):
    """Drops recurrent weights by functional_call."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 5)

    def forward(self, x):
        w = dict(self.cell.named_parameters())
        w["weight_hh"] = F.dropout(w["weight_hh"], 0.3, self.training)
        h = x.new_zeros(len(x), 5)
        for t in range(x.shape[1]):
            h = torch.func.functional_call(self.cell, w, (x[:, t], h))
        return h


add(WeightDrop, _normal(3, 4, 4))


class MetaLearner(nn.Module):
    """Takes a gradient step inside forward."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4) * 0.5)

    def forward(self, x, y, q):
        with torch.enable_grad():
            w = self.w if self.w.requires_grad else self.w.detach().requires_grad_()
            (g,) = torch.autograd.grad(
                (x @ w - y).pow(2).mean(), w, create_graph=torch.is_grad_enabled()
            )
            return q @ (w - 0.1 * g)


add(MetaLearner, _normal(5, 4), _normal(5), _normal(3, 4))


class ForceField(nn.Module):
    """Forces are minus the gradient of the energy."""

    def __init__(self):
        super().__init__()
        self.n = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))

    def forward(self, pos):
        with torch.enable_grad():
            p = pos if pos.requires_grad else pos.detach().requires_grad_()
            e = self.n(p).sum(1).squeeze(-1)
            (f,) = torch.autograd.grad(e.sum(), p, create_graph=True)
        return e, -f


add(ForceField, _normal(2, 4, 3))


class MultiPrecisionHead(nn.Module):
    """A softmax in float32, a result in the input's dtype."""

    def __init__(self):
        super().__init__()
        self.f = nn.Linear(5, 6)

    def forward(self, x):
        return self.f(x).softmax(-1, dtype=torch.float32).to(x.dtype)


add(MultiPrecisionHead, _normal(3, 5))


class Spectrogram(nn.Module):
    """A window in a buffer, log of clamped power."""

    def __init__(self):
        super().__init__()
        self.register_buffer("w", torch.hann_window(16))
        self.f = nn.Linear(9, 4)

    def forward(self, x):
        s = torch.stft(x, 16, 8, window=self.w, return_complex=True)
        return self.f((s.abs() ** 2).clamp_min(1e-8).log().transpose(1, 2))


add(Spectrogram, _normal(2, 64))


class Sinkhorn(nn.Module):
    """Scales rows and columns in turn."""

    def __init__(self):
        super().__init__()
        self.c = nn.Linear(4, 4)

    def forward(self, a, b):
        logs = -torch.cdist(self.c(a), self.c(b)).pow(2)
        for _ in range(5):
            logs = logs - logs.logsumexp(-1, keepdim=True)
            logs = logs - logs.logsumexp(-2, keepdim=True)
        return logs.exp()


add(Sinkhorn, _normal(2, 3, 4), _normal(2, 3, 4))


class ZeroConvControl(nn.Module):
    """A trained copy behind a convolution of zeros, beside a frozen trunk."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Conv2d(3, 4, 3, padding=1)
        self.copy = copy.deepcopy(self.trunk)
        self.trunk.requires_grad_(False)
        self.zero = nn.Conv2d(4, 4, 1)
        nn.init.zeros_(self.zero.weight)
        nn.init.zeros_(self.zero.bias)

    def forward(self, x, hint):
        return self.trunk(x) + self.zero(self.copy(x + hint))


add(ZeroConvControl, _normal(2, 3, 5, 5), _normal(2, 3, 5, 5))


class BertEmb(nn.Module):
    """Three tables, of which one is asked for zeros only."""

    def __init__(self):
        super().__init__()
        self.w = nn.Embedding(12, 6, padding_idx=0)
        self.p = nn.Embedding(8, 6)
        self.t = nn.Embedding(2, 6)
        self.n = nn.LayerNorm(6, eps=1e-12)
        self.d = nn.Dropout(0.1)
        self.register_buffer("ids", torch.arange(8).expand(1, -1), persistent=False)

    def forward(self, ids, types=None):
        types = torch.zeros_like(ids) if types is None else types
        return self.d(self.n(self.w(ids) + self.p(self.ids[:, : ids.shape[1]]) + self.t(types)))


add(BertEmb, _integers(12, 2, 5))


class SignFunction(torch.autograd.Function):
    """Plus or minus one; the gradient passes where the value is small."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * (x.abs() <= 1).to(grad_output.dtype)


class BinaryConvolution(nn.Module):
    """Signs of a batch norm: its variance moves none of them until its bias is trained."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3) / 5)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        weight = SignFunction.apply(self.weight) * scale
        return F.conv2d(SignFunction.apply(self.norm(x)), weight, padding=1)


add(BinaryConvolution, _normal(3, 3, 5, 5))


class GreedySuppression(nn.Module):
    """Boxes that are read one by one in Python: no operator leads from them to the answer."""

    def forward(self, boxes, scores):
        low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
        high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
        shared = (high - low).clamp_min(0).prod(-1)
        areas = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(-1)
        overlap = shared / (areas[:, None] + areas - shared).clamp_min(1e-6)
        kept = []
        for row in scores.argsort(descending=True).tolist():
            if all(overlap[row, other] < 0.5 for other in kept):
                kept.append(row)
        return torch.tensor(kept, device=boxes.device, dtype=torch.long)


CORNERS = torch.rand(6, 2, generator=GENERATOR)
add(GreedySuppression, torch.cat([CORNERS, CORNERS + 0.5], 1), torch.rand(6, generator=GENERATOR))


class ExactDivergence(nn.Module):
    """A vector field and its divergence, by derivatives in forward mode."""

    def __init__(self):
        super().__init__()
        self.field = nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 3))

    def forward(self, x):
        units = torch.eye(3, device=x.device, dtype=x.dtype)
        slopes = [
            jvp(self.field, (x,), (unit.expand_as(x),))[1][..., dim]
            for dim, unit in enumerate(units)
        ]
        return self.field(x), sum(slopes)


add(ExactDivergence, _normal(2, 3))


class SparseNeighbours(nn.Module):
    """A graph convolution whose adjacency is a sparse tensor."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x, adjacency):
        return torch.sparse.mm(adjacency, self.fc(x))


add(SparseNeighbours, _normal(5, 4), torch.eye(5).roll(1, 0).to_sparse())


class LargestFunction(torch.autograd.Function):
    """Values with a gradient, and indices that have none."""

    @staticmethod
    def forward(ctx, x):
        values, index = x.max(-1)
        ctx.save_for_backward(index)
        ctx.mark_non_differentiable(index)
        ctx.size = x.shape[-1]
        return values, index

    @staticmethod
    def backward(ctx, grad_output, _):
        (index,) = ctx.saved_tensors
        return F.one_hot(index, ctx.size).to(grad_output.dtype) * grad_output.unsqueeze(-1)


class Largest(nn.Module):
    """Two outputs of one Function, one of which cannot be differentiated."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 6)

    def forward(self, x):
        return LargestFunction.apply(self.fc(x))


add(Largest, _normal(3, 5))


class SinCosFunction(torch.autograd.Function):
    """None stands for a gradient of zero."""

    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx, grad_sin, grad_cos):
        (x,) = ctx.saved_tensors
        grads = []
        if grad_sin is not None:
            grads.append(grad_sin * x.cos())
        if grad_cos is not None:
            grads.append(-grad_cos * x.sin())
        return sum(grads) if grads else None


class Phases(nn.Module):
    """Gradients that are not materialised, in a dict of outputs."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        sine, cosine = SinCosFunction.apply(self.fc(x))
        return {"sin": sine, "cos": cosine}


add(Phases, _normal(3, 4))


class RecomputeFunction(torch.autograd.Function):
    """Runs a layer again in backward, and asks for the gradients that are needed."""

    @staticmethod
    def forward(ctx, run, x, *parameters):
        ctx.run = run
        ctx.save_for_backward(x, *parameters)
        with torch.no_grad():
            return run(x)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_output):
        x, *parameters = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        with torch.enable_grad():
            given = x.detach().requires_grad_()
            output = ctx.run(given)
        wanted = [item for item, need in zip([given, *parameters], needed, strict=True) if need]
        grads = iter(torch.autograd.grad(output, wanted, grad_output))
        return (None, *(next(grads) if need else None for need in needed))


class Recomputed(nn.Module):
    """Activation checkpointing by hand."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

    def forward(self, x):
        return RecomputeFunction.apply(self.net, x, *self.net.parameters())


add(Recomputed, _normal(3, 5))


class KeyQueue(nn.Module):
    """Momentum contrast: keys of earlier batches in a ring, written in training."""

    def __init__(self):
        super().__init__()
        self.query = nn.Linear(6, 4)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(12, 4), dim=-1))
        self.register_buffer("place", torch.zeros((), dtype=torch.long))

    def forward(self, x, other):
        query = F.normalize(self.query(x), dim=-1)
        with torch.no_grad():
            key = F.normalize(self.key(other), dim=-1)
        negatives = query @ self.queue.clone().t().to(query)
        logits = torch.cat([(query * key).sum(-1, keepdim=True), negatives], 1) / 0.2
        if self.training:
            rows = (self.place + torch.arange(len(key), device=key.device)) % len(self.queue)
            self.queue.index_copy_(0, rows, key.to(self.queue))
            self.place.copy_((self.place + len(key)) % len(self.queue))
        return logits


add(KeyQueue, _normal(4, 6), _normal(4, 6))


class ModulatedConvolution(nn.Module):
    """Weights for each sample: the samples become groups of channels."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3) / 5)
        self.style = nn.Linear(5, 3)

    def forward(self, x, z):
        size = len(x)
        weight = self.weight * (self.style(z) + 1).view(size, 1, 3, 1, 1)
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-6).rsqrt()
        image = x.reshape(1, -1, *x.shape[2:])
        y = F.conv2d(image, weight.flatten(0, 1), padding=1, groups=size)
        return y.view(size, 4, *x.shape[2:])


add(ModulatedConvolution, _normal(3, 3, 5, 5), _normal(3, 5))


class Spectral(nn.Module):
    """A Fourier layer with complex weights, for the lowest frequencies only."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, 4, dtype=torch.cfloat) / 4)
        self.conv = nn.Conv1d(3, 3, 1)

    def forward(self, x):
        waves = torch.fft.rfft(x)
        low = torch.einsum("bim,iom->bom", waves[..., :4], self.weight)
        waves = torch.cat([low, torch.zeros_like(waves[..., 4:])], -1)
        return F.gelu(torch.fft.irfft(waves, n=x.shape[-1]) + self.conv(x))


add(Spectral, _normal(2, 3, 12))


class CacheInCacheOut(nn.Module):
    """Keys and values are handed in and out, and never kept."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(6, 18)

    def forward(self, x, past=None):
        query, key, value = self.project(x).chunk(3, -1)
        if past is not None:
            key, value = torch.cat([past[0], key], 1), torch.cat([past[1], value], 1)
        length, seen = query.shape[1], key.shape[1]
        mask = torch.ones(length, seen, dtype=torch.bool, device=x.device).tril(seen - length)
        return F.scaled_dot_product_attention(query, key, value, mask), (key, value)


add(CacheInCacheOut, _normal(2, 1, 6), (_normal(2, 4, 6), _normal(2, 4, 6)))


class FeatureTap(nn.Module):
    """Takes an inner feature by a hook that lives for one call."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4))
        self.side = nn.Linear(6, 4)

    def forward(self, x):
        taken = []
        hook = self.net[1].register_forward_hook(lambda _, __, output: taken.append(output))
        try:
            y = self.net(x)
        finally:
            hook.remove()
        return y + self.side(taken[0])


add(FeatureTap, _normal(3, 5))


class Ragged(nn.Module):
    """Rows of several sequences one after another, with the places where they begin."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x, starts):
        sums = F.pad(self.fc(x).cumsum(0), (0, 0, 1, 0))
        sizes = (starts[1:] - starts[:-1]).clamp_min(1)
        return (sums[starts[1:]] - sums[starts[:-1]]) / sizes.unsqueeze(-1).to(sums.dtype)


add(Ragged, _normal(7, 4), torch.tensor([0, 2, 5, 7]))


def build():
    """Yield name, layer and inputs."""
    for name, make, inputs in _ENTRIES:
        yield name, make(), inputs
