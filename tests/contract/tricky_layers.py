"""Layers that are right and look wrong: each does something on purpose that bugs do by accident.

They are handed over as instances, without traits; no rule may report an error.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

X = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
SEQUENCE = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(2))
IMAGE = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(3))
TOKENS = torch.randint(0, 12, (4, 6), generator=torch.Generator().manual_seed(4))


class StraightThroughRound(nn.Module):
    """Rounds forward, passes gradients straight through."""

    def forward(self, x):
        return x + (x.round() - x).detach()


class SignFunction(torch.autograd.Function):
    """Sign forward, clipped identity backward."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class BinaryLinear(nn.Module):
    """A linear layer with binarised weights."""

    def __init__(self, in_features=8, out_features=5):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / 3)

    def forward(self, x):
        return F.linear(x, SignFunction.apply(self.weight))


class ReverseFunction(torch.autograd.Function):
    """Identity forward, minus lambda backward."""

    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.strength * grad, None


class GradientReversal(nn.Module):
    """The head of a domain-adversarial network."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Linear(8, 2)

    def forward(self, x):
        return self.classifier(ReverseFunction.apply(x, 0.5))


class VectorQuantizer(nn.Module):
    """VQ-VAE: nearest code, straight-through gradient, codebook and commitment loss."""

    def __init__(self, num_codes=10, dim=8):
        super().__init__()
        self.codebook = nn.Embedding(num_codes, dim)

    def forward(self, x):
        distance = torch.cdist(x.flatten(0, -2), self.codebook.weight)
        codes = distance.argmin(-1)
        quantized = self.codebook(codes).view_as(x)
        loss = F.mse_loss(quantized, x.detach()) + 0.25 * F.mse_loss(x, quantized.detach())
        return x + (quantized - x).detach(), loss


class EmaQuantizer(nn.Module):
    """VQ-VAE with a codebook that moving averages update in training."""

    def __init__(self, num_codes=10, dim=8, decay=0.9):
        super().__init__()
        self.decay = decay
        self.register_buffer("codebook", torch.randn(num_codes, dim))
        self.register_buffer("counts", torch.ones(num_codes))
        self.register_buffer("sums", self.codebook.clone())

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        codes = torch.cdist(flat, self.codebook).argmin(-1)
        quantized = self.codebook[codes].view_as(x)
        if self.training:
            with torch.no_grad():
                onehot = F.one_hot(codes, self.codebook.shape[0]).to(flat.dtype)
                self.counts.mul_(self.decay).add_(onehot.sum(0), alpha=1 - self.decay)
                self.sums.mul_(self.decay).add_(onehot.t() @ flat, alpha=1 - self.decay)
                self.codebook.copy_(self.sums / self.counts.clamp_min(1e-5).unsqueeze(1))
        return x + (quantized - x).detach()


class TiedLanguageModel(nn.Module):
    """Embedding and output layer share one parameter."""

    def __init__(self, vocabulary=12, dim=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.output = nn.Linear(dim, vocabulary, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens):
        return self.output(self.embedding(tokens))


class FrozenBackbone(nn.Module):
    """A frozen trunk in eval mode for ever, and a trained head."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.trunk.requires_grad_(False)
        self.head = nn.Linear(8, 3)
        self.trunk.eval()

    def train(self, mode=True):
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, x):
        with torch.no_grad():
            features = self.trunk(x)
        return self.head(features)


class SpectralLinear(nn.Module):
    """Spectral norm as a parametrization."""

    def __init__(self):
        super().__init__()
        self.linear = parametrizations.spectral_norm(nn.Linear(8, 8))

    def forward(self, x):
        return self.linear(x)


class OldSpectralConv(nn.Module):
    """Spectral norm as a hook, as older code has it."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.utils.spectral_norm(nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x):
        return self.conv(x)


class WeightNormLinear(nn.Module):
    """Weight norm as a parametrization."""

    def __init__(self):
        super().__init__()
        self.linear = parametrizations.weight_norm(nn.Linear(8, 8))

    def forward(self, x):
        return self.linear(x).relu()


class LazyBlock(nn.Module):
    """Takes its width from the first input."""

    def __init__(self):
        super().__init__()
        self.linear = nn.LazyLinear(5)
        self.norm = nn.LazyBatchNorm1d()

    def forward(self, x):
        return self.norm(self.linear(x))


class MixtureOfExperts(nn.Module):
    """Top-2 of four experts for each token."""

    def __init__(self, dim=8, num_experts=4):
        super().__init__()
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_experts))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        weights, chosen = self.router(flat).softmax(-1).topk(2, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.zeros_like(flat)
        for place, expert in enumerate(self.experts):
            rows, slots = (chosen == place).nonzero(as_tuple=True)
            if rows.numel():
                out = out.index_add(0, rows, weights[rows, slots, None] * expert(flat[rows]))
        return out.view_as(x)


class StochasticDepth(nn.Module):
    """Drops the residual branch for whole samples in training."""

    def __init__(self, drop=0.3):
        super().__init__()
        self.drop = drop
        self.branch = nn.Linear(8, 8)

    def forward(self, x):
        branch = self.branch(x)
        if self.training and self.drop > 0:
            keep = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.drop
            branch = branch * keep / (1 - self.drop)
        return x + branch


class RotaryAttention(nn.Module):
    """Causal attention with rotary positions, whose table is cached when a longer input comes."""

    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.num_heads, self.head_dim = num_heads, dim // num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.cached = None

    def _table(self, length, x):
        if (
            self.cached is None
            or self.cached[0].shape[0] < length
            or (self.cached[0].device != x.device)
        ):
            with torch.inference_mode(mode=False), torch.no_grad():
                half = torch.arange(0, self.head_dim, 2, device=x.device).float()
                angle = torch.arange(length, device=x.device).float()[:, None] * 10_000.0 ** (
                    -half / self.head_dim
                )
                self.cached = angle.cos(), angle.sin()
        return tuple(table[:length].to(x.dtype) for table in self.cached)

    def forward(self, x):
        batch, length, dim = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        cos, sin = self._table(length, x)

        def rotate(t):
            even, odd = t[..., ::2], t[..., 1::2]
            return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(batch, length, dim))


class CachedDecoderStep(nn.Module):
    """Keeps keys and values of earlier calls; `reset` forgets them."""

    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.cache = None

    def reset(self):
        self.cache = None

    def forward(self, x, use_cache=False):
        q, k, v = self.qkv(x).chunk(3, -1)
        if use_cache:
            if self.cache is not None:
                k = torch.cat([self.cache[0], k], 1)
                v = torch.cat([self.cache[1], v], 1)
            self.cache = (k.detach(), v.detach())
        return F.scaled_dot_product_attention(q, k, v)


class LowRankAdapter(nn.Module):
    """LoRA: a frozen weight, A random, B zero."""

    def __init__(self, dim=8, rank=2):
        super().__init__()
        self.base = nn.Linear(dim, dim).requires_grad_(False)
        self.a = nn.Parameter(torch.randn(rank, dim) / math.sqrt(dim))
        self.b = nn.Parameter(torch.zeros(dim, rank))

    def forward(self, x):
        return self.base(x) + x @ self.a.t() @ self.b.t()


class ReZero(nn.Module):
    """A residual branch behind a gain that starts at zero."""

    def __init__(self, dim=8):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim))
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.gain * self.branch(x)


class LayerScale(nn.Module):
    """A residual branch scaled by 1e-5."""

    def __init__(self, dim=8):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x):
        return x + self.scale * self.linear(self.norm(x))


class GraphConvolution(nn.Module):
    """Nodes exchange messages along a dense adjacency."""

    def __init__(self, dim=8):
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def forward(self, nodes, adjacency):
        degree = adjacency.sum(1, keepdim=True).clamp_min(1)
        return self.linear(adjacency @ nodes / degree).relu()


class EdgeConvolution(nn.Module):
    """Nodes exchange messages along a list of edges."""

    def __init__(self, dim=8):
        super().__init__()
        self.message = nn.Linear(2 * dim, dim)

    def forward(self, nodes, edges):
        source, target = edges
        messages = self.message(torch.cat([nodes[source], nodes[target]], -1))
        return torch.zeros_like(nodes).index_add(0, target, messages)


class ContrastiveLoss(nn.Module):
    """Every sample is compared with every other one."""

    def __init__(self, temperature=0.5):
        super().__init__()
        self.temperature = temperature

    def forward(self, one, two):
        one, two = F.normalize(one, dim=-1), F.normalize(two, dim=-1)
        logits = one @ two.t() / self.temperature
        return F.cross_entropy(logits, torch.arange(len(one), device=one.device))


class MinibatchStd(nn.Module):
    """Appends the spread over the batch as a feature map, as ProGAN does."""

    def forward(self, x):
        spread = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
        return torch.cat([x, spread.expand(x.shape[0], 1, *x.shape[2:])], 1)


class TemporalShift(nn.Module):
    """TSM: frames of a clip lie along the batch and exchange a share of their channels."""

    def __init__(self, num_segments=2):
        super().__init__()
        self.num_segments = num_segments
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        clips = x.view(-1, self.num_segments, *x.shape[1:])
        shifted = torch.zeros_like(clips)
        shifted[:, :-1, :1] = clips[:, 1:, :1]
        shifted[:, 1:, 1:2] = clips[:, :-1, 1:2]
        shifted[:, :, 2:] = clips[:, :, 2:]
        return self.conv(shifted.view_as(x))


class WindowPartition(nn.Module):
    """Each image becomes four windows along the batch."""

    def forward(self, x):
        n, c, h, w = x.shape
        x = x.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(n * 4, c, h // 2, w // 2)


class DeepSet(nn.Module):
    """An answer for each set of items."""

    def __init__(self, dim=8):
        super().__init__()
        self.inner, self.outer = nn.Linear(dim, dim), nn.Linear(dim, 3)

    def forward(self, x):
        return self.outer(self.inner(x).relu().mean(1))


class UnbatchedSelfAttention(nn.Module):
    """Attention over the rows of one sequence (T, C)."""

    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        return (q @ k.t() / math.sqrt(q.shape[-1])).softmax(-1) @ v


class FourierMixer(nn.Module):
    """FNet: the real part of a Fourier transform over positions and features."""

    def __init__(self, dim=8):
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, x):
        return self.norm(x + torch.fft.fft2(x, dim=(-2, -1)).real)


class ComplexLinear(nn.Module):
    """Weights and outputs are complex."""

    def __init__(self, dim=8):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, dim, dtype=torch.complex64) / dim)

    def forward(self, x):
        return x.to(torch.complex64) @ self.weight


class GumbelGate(nn.Module):
    """Samples in training, decides in eval."""

    def __init__(self, dim=8):
        super().__init__()
        self.logits = nn.Linear(dim, dim)

    def forward(self, x):
        logits = torch.stack([self.logits(x), torch.zeros_like(x)], -1)
        if self.training:
            return x * F.gumbel_softmax(logits, tau=1.0, hard=True)[..., 0]
        return x * (logits[..., 0] > 0).to(x.dtype)


class NoisyLayer(nn.Module):
    """Adds noise in training."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        x = self.linear(x)
        return x + 0.1 * torch.randn_like(x) if self.training else x


class HyperLinear(nn.Module):
    """One network writes the weights of the next layer."""

    def __init__(self, dim=8):
        super().__init__()
        self.writer = nn.Linear(dim, dim * 3)

    def forward(self, x, context):
        weight = self.writer(context).view(-1, 3, x.shape[-1])
        return torch.einsum("bi,boi->bo", x, weight)


class UniversalBlock(nn.Module):
    """Runs the same layer three times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        for _ in range(3):
            x = x + self.layer(x).tanh()
        return x


class CheckpointedBlock(nn.Module):
    """Forgets activations and computes them again."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 8))

    def forward(self, x):
        if self.training:
            return checkpoint(self.layer, x, use_reentrant=False)
        return self.layer(x)


class MomentumTarget(nn.Module):
    """BYOL: an online branch, a target branch without gradients that follows it."""

    def __init__(self):
        super().__init__()
        self.online = nn.Linear(8, 4)
        self.target = nn.Linear(8, 4).requires_grad_(False)
        self.target.load_state_dict(self.online.state_dict())

    @torch.no_grad()
    def follow(self, decay=0.99):
        for slow, fast in zip(self.target.parameters(), self.online.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)

    def forward(self, one, two):
        with torch.no_grad():
            goal = self.target(two)
        return F.mse_loss(self.online(one), goal)


class SinusoidalPositions(nn.Module):
    """Adds a fixed table."""

    def __init__(self, dim=8, max_length=32):
        super().__init__()
        place = torch.arange(max_length).unsqueeze(1)
        scale = torch.exp(torch.arange(0, dim, 2) * (-math.log(10_000.0) / dim))
        table = torch.zeros(max_length, dim)
        table[:, 0::2], table[:, 1::2] = torch.sin(place * scale), torch.cos(place * scale)
        self.register_buffer("table", table, persistent=False)

    def forward(self, x):
        return x + self.table[: x.shape[1]]


class OptionalParts(nn.Module):
    """A mask and a context that may be left out."""

    def __init__(self):
        super().__init__()
        self.query, self.context = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x, context=None, mask=None):
        y = self.query(x)
        if context is not None:
            y = y + self.context(context)
        return y if mask is None else y.masked_fill(~mask, 0.0)


class RunningNormalizer(nn.Module):
    """Standardises by statistics that training collects (as for observations of an agent)."""

    def __init__(self, dim=8):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))
        self.register_buffer("count", torch.tensor(1.0))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                total = self.count + x.shape[0]
                delta = x.mean(0) - self.mean
                self.mean += delta * x.shape[0] / total
                spread = x.var(0, unbiased=False)
                self.var += (spread - self.var) * x.shape[0] / total
                self.count.copy_(total)
        return (x - self.mean) / (self.var + 1e-5).sqrt()


class LengthAwareLstm(nn.Module):
    """Packs sequences of unequal lengths."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 2)

    def forward(self, tokens, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.head(torch.cat([hidden[0], hidden[1]], -1))


class PooledAttention(nn.Module):
    """Attention pooling with padding masked out."""

    def __init__(self, dim=8):
        super().__init__()
        self.score = nn.Linear(dim, 1)

    def forward(self, x, mask):
        scores = self.score(x).squeeze(-1).masked_fill(~mask, torch.finfo(x.dtype).min)
        return (scores.softmax(-1).unsqueeze(-1) * x).sum(1)


class SpikingNeuron(nn.Module):
    """A step forward, a smooth bump backward."""

    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad / (1 + 10 * x.abs()) ** 2

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.Spike.apply(self.linear(x) - 0.1)


class Residual(nn.Module):
    """Wraps a module that is given to it."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Hooked(nn.Module):
    """A forward hook of its own keeps a statistic."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.last_norm = 0.0
        self.linear.register_forward_hook(self._note)

    def _note(self, module, args, output):
        self.last_norm = float(output.detach().norm())

    def forward(self, x):
        return self.linear(x)


class GradientClippingHook(nn.Module):
    """Clips the gradient that passes through."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        y = self.linear(x)
        if y.requires_grad:
            y.register_hook(lambda grad: grad.clamp(-0.1, 0.1))
        return y


class AuxiliaryLoss(nn.Module):
    """Returns its loss beside the output in training."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, x):
        y = self.linear(x)
        return (y, y.square().mean()) if self.training else (y, None)


class ModelOutput(dict):
    """A dict with attributes, as model libraries return."""

    __getattr__ = dict.__getitem__


class DictModel(nn.Module):
    """Returns a dict, takes keyword arguments."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids, attention_mask=None, **unused):
        hidden = self.embedding(input_ids)
        if attention_mask is not None:
            hidden = hidden * attention_mask.unsqueeze(-1).to(hidden.dtype)
        return ModelOutput(logits=self.head(hidden.mean(1)), hidden=hidden)


def build():
    """Yield name, layer and inputs."""
    mask = torch.tensor(
        [[1, 1, 1, 0, 0, 0], [1] * 6, [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0]]
    ).bool()
    edges = torch.tensor([[0, 1, 2, 3, 0], [1, 2, 3, 0, 2]])
    adjacency = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1.0]])
    simple = [
        StraightThroughRound, BinaryLinear, GradientReversal, FrozenBackbone, SpectralLinear,
        WeightNormLinear, LazyBlock, StochasticDepth, LowRankAdapter, ReZero, LayerScale,
        UnbatchedSelfAttention, GumbelGate, NoisyLayer, UniversalBlock, CheckpointedBlock,
        RunningNormalizer, SpikingNeuron, Hooked, GradientClippingHook, AuxiliaryLoss,
        ComplexLinear, OptionalParts,
    ]  # fmt: skip
    for cls in simple:
        yield cls.__name__, cls(), (X,)
    for cls in (VectorQuantizer, EmaQuantizer, MixtureOfExperts, RotaryAttention,
                CachedDecoderStep, DeepSet, FourierMixer, SinusoidalPositions):  # fmt: skip
        yield cls.__name__, cls(), (SEQUENCE,)
    for cls in (OldSpectralConv, MinibatchStd, TemporalShift, WindowPartition):
        yield cls.__name__, cls(), (IMAGE,)
    yield "TiedLanguageModel", TiedLanguageModel(), (TOKENS,)
    yield "GraphConvolution", GraphConvolution(), (X, adjacency)
    yield "EdgeConvolution", EdgeConvolution(), (X, edges)
    yield "ContrastiveLoss", ContrastiveLoss(), (X, X.flip(0))
    yield "HyperLinear", HyperLinear(), (X, X.roll(1, 0))
    yield "MomentumTarget", MomentumTarget(), (X, X.roll(1, 1))
    yield "LengthAwareLstm", LengthAwareLstm(), (TOKENS, torch.tensor([6, 4, 1, 2]))
    yield "PooledAttention", PooledAttention(), (SEQUENCE, mask)
    yield "Residual", Residual(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8))), (X,)
    yield "SharedActivation", nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)), (X,)
    yield "InplaceRelu", nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True)), (X,)
    yield "MaxNormEmbedding", nn.Embedding(12, 8, max_norm=1.0), (TOKENS,)
    yield "DictModel", DictModel(), (TOKENS,)
    yield "BatchNormWithoutStatistics", nn.BatchNorm1d(8, track_running_stats=False), (X,)
    yield "SequenceFirstGru", nn.GRU(8, 5), (SEQUENCE,)
    yield "TransformerEncoder", nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (SEQUENCE,)
